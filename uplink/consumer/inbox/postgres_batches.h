// PostgresBatches: one transaction of the PostgreSQL inbox: which batches are applied, and what becomes of
// them as parameters of its statements.
//
// One thread; used once. PostgresInbox runs its steps in their order, inside BEGIN and COMMIT.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/inbox/loose_offsets.h"
#include "uplink/consumer/inbox/postgres_connection.h"

namespace spillway::consumer {

class PostgresBatches {
 public:
  PostgresBatches(PgConnection& connection, std::span<const InboxBatch> batches,
                  std::vector<core::Result<void>>& outcomes);

  /// All steps but COMMIT; an error: nothing of it may stay.
  [[nodiscard]] core::Result<void> apply();

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  using LaneKey = std::tuple<std::string, std::string, std::string, std::string>;
  using BootKey = std::pair<std::string, std::string>;

  struct Position {
    LoosePosition at;
    std::uint64_t last_record = 0;
    std::uint64_t began = 0;  // next, as the transaction found it
    bool is_fresh = false;    // this transaction has made its row
    bool moved = false;
  };
  /// The latest times of a lane's records, and how many are new; 0: there is none.
  struct LaneShare {
    std::uint64_t produced_at_ns = 0;
    std::uint64_t boottime_ns = 0;
    std::uint64_t records = 0;
  };
  /// A batch that is applied.
  struct Applied {
    const InboxBatch* batch = nullptr;
    const Key* key = nullptr;
    std::optional<std::uint64_t> unseen_from;  // nothing: it follows the position, every row is new
    std::map<std::uint64_t, LaneShare> shares;
    std::size_t sent = 0;           // records in its statement
    std::set<std::uint64_t> fresh;  // their offsets, where not all of them were new
    bool all_fresh = true;
  };

  [[nodiscard]] core::Result<void> read_positions();
  [[nodiscard]] core::Result<void> begin_positions();
  [[nodiscard]] core::Result<void> read_times();
  void decide();
  [[nodiscard]] bool decide(Applied& applied);
  [[nodiscard]] core::Result<void> insert_records();
  [[nodiscard]] core::Result<void> send_records(Applied& applied);
  [[nodiscard]] core::Result<void> take_fresh(Applied& applied, const PgResult& result);
  [[nodiscard]] std::optional<std::uint64_t> produced_at(const Applied& applied,
                                                         const InboxRun& run,
                                                         const InboxRecord& record,
                                                         LaneShare& share) const;
  void count_fresh(Applied& applied);
  [[nodiscard]] core::Result<void> insert_gaps();
  [[nodiscard]] core::Result<void> walk_islands();
  [[nodiscard]] core::Result<void> send_rest();
  [[nodiscard]] core::Result<void> send_dead(const Applied& applied);
  [[nodiscard]] core::Result<void> send_gaps(const Applied& applied);
  [[nodiscard]] core::Result<void> send_lanes(Applied& applied);
  [[nodiscard]] core::Result<void> send_clocks(const Applied& applied);
  [[nodiscard]] core::Result<void> send_schemas(const Applied& applied);
  [[nodiscard]] core::Result<void> send_marks(const InboxBatch& batch);
  [[nodiscard]] core::Result<void> send_positions();

  PgConnection& connection_;
  std::span<const InboxBatch> batches_;
  std::vector<core::Result<void>>& outcomes_;
  std::vector<const Key*> keys_;  // of each batch; they stand in all_keys_
  std::set<Key> all_keys_;
  std::map<Key, Position> positions_;
  std::map<LaneKey, std::uint64_t> lane_times_;
  std::map<BootKey, InboxClock> boots_;
  std::vector<Applied> applied_;
};

}  // namespace spillway::consumer
