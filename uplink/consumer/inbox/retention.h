// Retention: takes old records out of the inbox, by age and by size.
//
// One thread, on a connection of its own, in short transactions beside the writer's: RetentionKeeper
// is that thread.
//
// Invariants:
//  1. Positions, gaps, lanes and schemas are never touched, nor rows at or above a next offset: what was
//     pruned does not come again.
//  2. Of each (gateway, journal, stream) the oldest records go first; over all of them, those received
//     first. Dead ones go as the others.
//  3. No index is needed for it, so it costs the writer nothing but the rows' removal: within a key
//     records were received in the order of their offsets (through a broker nearly so: one that came
//     late lets those behind it wait).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

struct RetentionRules {
  std::uint64_t retain_ns = 0;  // records received longer ago go; 0: never for their age
  std::uint64_t max_bytes = 0;  // what the inbox's file may have in use; 0: no bound

  [[nodiscard]] bool any() const { return retain_ns != 0 || max_bytes != 0; }
};

/// Takes some out of its database, one short transaction a call.
class Pruner {
 public:
  virtual ~Pruner() = default;
  /// 0: there is nothing more to do now.
  [[nodiscard]] virtual core::Result<std::uint64_t> prune_some(std::uint64_t utc_ns) = 0;

 protected:
  Pruner() = default;
  Pruner(Pruner&&) = default;
  Pruner& operator=(Pruner&&) = default;
};

/// In SQLite.
class Retention final : public Pruner {
 public:
  static constexpr std::uint64_t kRowsPerTransaction = 1000;

  Retention(Database database, RetentionRules rules)
      : database_(std::move(database)), rules_(rules) {}

  core::Result<std::uint64_t> prune_some(std::uint64_t utc_ns) override;
  [[nodiscard]] core::Result<std::uint64_t> used_bytes();

 private:
  struct Key {
    std::string gateway;
    std::string journal;
    std::string stream;
  };

  [[nodiscard]] core::Result<std::vector<Key>> keys();
  [[nodiscard]] core::Result<std::optional<std::uint64_t>> first_received(const Key& key);
  /// At most kRowsPerTransaction of the key's oldest, and only such as were received before.
  [[nodiscard]] core::Result<std::uint64_t> prune_key(const Key& key,
                                                      std::uint64_t received_before);

  Database database_;
  RetentionRules rules_;
};

class RetentionKeeper {
 public:
  using Open = std::function<core::Result<std::unique_ptr<Pruner>>()>;

  explicit RetentionKeeper(Open open);
  ~RetentionKeeper();
  RetentionKeeper(const RetentionKeeper&) = delete;
  RetentionKeeper& operator=(const RetentionKeeper&) = delete;

 private:
  void run();
  /// True: there may be more to do at once.
  [[nodiscard]] core::Result<bool> look();

  Open open_;
  std::unique_ptr<Pruner> pruner_;
  std::string logged_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace spillway::consumer
