// DurableLog: the one small interface behind which each store appends records, for bench_durable.
//
// One thread calls it; a store may have threads of its own. A store is opened in an empty folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace spillway::bench {

/// What may be lost when the power goes.
enum class Loss {
  kAnything,  // never synced while it is measured
  kBatch,     // nothing of a batch whose append has returned
  kInterval,  // what was appended within the last interval: group commit
};

struct DurableSetup {
  std::string directory;
  Loss loss = Loss::kInterval;
  std::uint64_t interval_ns = 1'000'000;
  std::size_t record_bytes = 64;
};

class DurableLog {
 public:
  static constexpr std::size_t kBatch = 1000;
  virtual ~DurableLog() = default;
  /// Appends kBatch times this record, as one unit where the store has such a thing.
  virtual void append_batch(std::span<const std::byte> record) = 0;
  /// Everything appended is as safe as `loss` promises in the end: synced, but for kAnything.
  virtual void finish() = 0;
};

struct DurableStore {
  const char* name;
  const char* settings;
  const char* guarantee;  // beside ours at the same loss window
  std::vector<Loss> losses;
  std::function<std::unique_ptr<DurableLog>(const DurableSetup&)> open;
};

inline std::vector<DurableStore>& durable_stores() {
  static std::vector<DurableStore> all;
  return all;
}

inline bool add_durable_store(DurableStore store) {
  durable_stores().push_back(std::move(store));
  return true;
}

}  // namespace spillway::bench
