// DeadStore: the records that could not be applied, for people: list, look at, requeue, drop. They are the
// inbox's rows in state 'dead', whatever database it is in.
//
// One thread. Works beside running consumers: each change is a short transaction of at most
// kRowsPerTransaction rows.
//
// Invariants:
//  1. Positions and gaps are never touched, and no row at or above a next offset is dropped: whatever is
//     done here, no record comes twice.
//  2. A requeued row is in state 'received', as if it had just come; one whose payload was cut is not
//     requeued.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::consumer {

/// A record's identity, as people and tools write it: GATEWAY/JOURNAL/STREAM/OFFSET.
struct RecordName {
  std::string gateway;
  std::string journal;
  std::string stream;
  std::uint64_t offset = 0;

  [[nodiscard]] static std::optional<RecordName> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

struct DeadRow {
  RecordName name;
  std::string topic;
  std::string reason;
  std::optional<std::uint64_t> produced_at_ns;
  std::uint64_t received_at_ns = 0;
  std::uint64_t record_bytes = 0;  // its size ...
  std::uint64_t kept_bytes = 0;    // ... and so much of it is here
  std::string schema_fingerprint;  // empty: none
};

/// Which rows are meant; what is empty is no condition.
struct DeadFilter {
  std::string gateway;
  std::string stream;
  std::string topic;  // a filter: sensor/+/temperature, sensor/#
  std::optional<RecordName> name;
};

class DeadStore {
 public:
  static constexpr std::size_t kRowsPerTransaction = 1000;

  virtual ~DeadStore() = default;

  /// At most `limit`, in the order of their identities.
  [[nodiscard]] virtual core::Result<std::vector<DeadRow>> list(const DeadFilter& filter,
                                                                std::size_t limit) = 0;
  [[nodiscard]] virtual core::Result<std::vector<std::byte>> payload(const RecordName& name) = 0;
  /// How many were changed; those that were cut stay. What is chosen is what there was at the beginning,
  /// so that it ends whatever comes meanwhile.
  [[nodiscard]] core::Result<std::uint64_t> requeue(const DeadFilter& filter);
  [[nodiscard]] core::Result<std::uint64_t> drop(const DeadFilter& filter);

 protected:
  enum class Change : std::uint8_t { kRequeue, kDrop };

  DeadStore() = default;
  DeadStore(DeadStore&&) = default;
  DeadStore& operator=(DeadStore&&) = default;

  /// One transaction; how many it changed.
  [[nodiscard]] virtual core::Result<std::uint64_t> change(std::span<const DeadRow> rows,
                                                           Change change) = 0;

 private:
  [[nodiscard]] core::Result<std::uint64_t> change_all(const DeadFilter& filter, Change what);
};

}  // namespace spillway::consumer
