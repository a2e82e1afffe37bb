// Drain: moves records from the lanes into the streams. A state machine stepped with the time: no
// thread, socket or clock inside; what may block on the disk goes out as an Order and comes back
// through finish().
//
// A lane's way:
//            route                     producer gone, walked to zero
//   Found ---------> Draining ------------------------------> declared closed, removed, forgotten
//     |                 |  ^
//     | no filter       |  | the older lane of its (producer, topic) has ended
//     v                 v  |
//   Unmatched        Waiting
//
//   A rule broken, at any point: Quarantined (set aside, harms no other).
//
// One thread. Invariants:
//  1. A lane feeds one stream for its life: the one that already holds records of it, else the
//     first whose filter matches.
//  2. `consumed` moves only after the stream has the bytes; a restart goes on behind the stream's
//     lane end.
//  3. In one step each lane gives at most lane_bytes_per_step (or one record): no lane starves
//     another.
//  4. A lane's producer is known to be gone before its last walk, and the lane is removed only when
//     that walk was empty.
//  5. Records stay in their lanes for a moment to become longer runs: a block's header costs as much
//     flash for one record as for a hundred. While a stream compresses a backlog that is up to its
//     sync_interval, otherwise up to a twentieth of it and gather_ns_max. The sync stays due from when
//     the oldest came, so they are power-safe no later than without; and not a moment is waited once
//     somebody waits, a lane fills, or the drain is to end. In a lane they survive any process's
//     death as well as in the spill.
//  6. A record that is larger than its stream's segments take harms neither its lane nor what follows:
//     it is passed over, and counted as rejected, so that the far end knows.
//  7. A stream that is away keeps no other from being drained. Its lanes are not attached: where each
//     stands only the stream can say.
//  8. A lane is told a position is power-safe only after a sync that was planned at or behind it
//     (see GroupCommit).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "edge-agent/drain/group_commit.h"
#include "edge-agent/drain/lane_source.h"
#include "edge-agent/drain/lane_table.h"
#include "edge-agent/drain/order.h"
#include "spillway/core/crash_guard.h"
#include "spillway/core/stream.h"

namespace spillway::agent {

/// One reading of all clocks, taken together by the caller.
struct Now {
  std::uint64_t boottime_ns = 0;
  std::uint64_t utc_ns = 0;
  std::array<std::uint64_t, 4> ticks{};  // by format::ClockKind
};

struct StreamSetup {
  core::Stream* stream = nullptr;  // outlives the drain, or until it is let go; null: it is away
  std::vector<std::string> topics;
  std::uint64_t sync_interval_ns = 0;
};

enum class Severity : std::uint8_t { kInfo, kWarning, kError };

struct DrainCounters {
  std::uint64_t records = 0;
  std::uint64_t frame_bytes = 0;  // as they stood in the lanes
  std::uint64_t blocks = 0;
  std::uint64_t lanes_ended = 0;
  std::uint64_t quarantined = 0;
  std::uint64_t too_large = 0;  // records that were passed over
  std::uint64_t rolled_back_lanes = 0;
  std::uint64_t rolled_back_bytes = 0;
  std::uint64_t sync_failures = 0;
};

struct DrainOptions {
  std::uint64_t lane_bytes_per_step = 64 * 1024;
  std::uint64_t look_everywhere_ns = 1'000'000;  // see Look
  std::uint64_t gather_ns_max = 0;               // of a stream that does not compress (invariant 5)
  std::uint64_t gone_check_ns = 100'000'000;
  std::uint64_t successor_gone_check_ns = 5'000'000;  // when another lane waits for this one's end
  std::uint64_t declare_interval_ns = 1'000'000'000;
  std::uint64_t collect_interval_ns = 1'000'000'000;
  std::uint64_t retry_ns = 1'000'000'000;
  std::uint64_t clock_step_ns = 100'000'000;
  std::uint64_t clock_ask_interval_ns = 1'000'000'000;
  std::uint64_t tidy_schemas_interval_ns = 60'000'000'000;
  std::uint64_t lanes_per_user_max = 1024;
  std::uint64_t lane_bytes_per_user_max = 256ULL << 20;
  // While a stream is full, each try may cost the disk something.
  std::uint64_t full_retry_ns = 50'000'000;
  DrainCounters counters;  // of the drain before, to count on from
  core::Uuid boot_id;
  // Names the lane that is being admitted, for the agent that comes after a crash in it.
  core::env::Env* env = nullptr;
  std::string guard_path;
  std::function<void(Severity, const std::string&)> log = [](Severity, const std::string&) {};
};

/// Where a step looks. A thousand idle lanes cost a busy one nothing but a glance each millisecond:
/// steps that follow at once, because there was more, pass over the lanes that were empty.
enum class Look : std::uint8_t {
  kEverywhere,
  kWhereRecordsWere,  // and everywhere, when look_everywhere_ns have passed
};

struct StepReport {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  bool more = false;       // a lane had more than one step takes
  bool pressed = false;    // a lane was more than an eighth full: do not sleep long
  bool gathering = false;  // records were left in their lanes (invariant 5): look again soon
};

/// What a stream refuses now, and how often it has.
struct StreamTrouble {
  std::string error;           // why it takes nothing; empty while it does
  bool read_only = false;      // that is why
  std::uint64_t refusals = 0;  // tries that failed, but for want of room
};

/// A lane file that is not drained, and why.
struct IgnoredLane {
  std::string reason;
  std::uint64_t retry_at_ns = 0;
  bool stream_is_away = false;
};

class Drain {
 public:
  /// `source` and the streams must outlive it. At least one stream.
  Drain(LaneSource& source, std::vector<StreamSetup> streams, DrainOptions options);

  [[nodiscard]] StepReport step(const Now& now, Look look = Look::kEverywhere);
  /// What the last steps want done. Each must come back through finish.
  [[nodiscard]] std::vector<Order> take_orders();
  void finish(const Order& order, const core::Result<void>& outcome, const Now& now);
  /// Plans a sync of every stream that has anything unsynced, whatever the interval, and moves what
  /// stands in memory to the disk: for the clean end. Again until no order comes of it.
  void request_sync(const Now& now);
  /// The stream goes away, and with it the lanes that feed it: their records stay in them until it is
  /// taken up. Its orders must have come back. The other streams do not notice.
  void let_go(std::size_t index);
  void take_up(std::size_t index, core::Stream& stream);
  /// Of a stream that is away: what it is to take, and how often it is synced, from now on.
  void configure(std::size_t index, std::vector<std::string> topics,
                 std::uint64_t sync_interval_ns);
  /// From now on nothing is left in a lane to gather: before the clean end.
  void stop_gathering() { may_gather_ = false; }

  [[nodiscard]] const LaneTable& lanes() const { return lanes_; }
  [[nodiscard]] const std::map<std::string, IgnoredLane>& ignored() const { return ignored_; }
  [[nodiscard]] const DrainCounters& counters() const { return counters_; }
  [[nodiscard]] bool stream_full(std::size_t index) const { return streams_[index].full; }
  [[nodiscard]] bool stream_failed(std::size_t index) const {
    const StreamState& state = streams_[index];
    return state.failed || (state.stream != nullptr && !state.stream->faults().failure.empty());
  }
  [[nodiscard]] const StreamTrouble& trouble(std::size_t index) const {
    return streams_[index].trouble;
  }

 private:
  struct StreamState {
    core::Stream* stream;  // null while it is away
    std::vector<std::string> topics;
    GroupCommit commit;
    bool full = false;
    bool failed = false;
    bool blocked = false;                  // nothing more goes in during this step
    bool gathers = false;                  // during this step
    std::uint64_t gathering_since_ns = 0;  // the oldest record left in a lane; 0: none is
    std::uint64_t retry_at_ns = 0;
    std::uint64_t collect_at_ns = 0;
    std::uint64_t schemas_left_out = 0;  // as far as it was told
    std::uint64_t spare_at_ns = 0;       // no spare is made before: the last could not be
    std::string warned{};                // of what upkeep met last
    StreamTrouble trouble{};
  };
  enum class Took : std::uint8_t { kNothing, kSome, kLaneEnded };

  // admission.cc: lanes come
  void admit(const Now& now);
  void admit_guarded(const std::string& path, core::CrashGuard& guard, const Now& now);
  void admit_one(const std::string& path, const Now& now);
  void ignore(const std::string& path, std::string reason, std::uint64_t retry_at_ns);
  [[nodiscard]] bool within_limits(const std::string& path, const LaneFileFacts& facts,
                                   const Now& now);
  [[nodiscard]] std::uint64_t route(Lane& lane);
  [[nodiscard]] bool waits_for_stream(const Lane& lane);
  void forget_vanished_lanes();

  // drain.cc: records go
  void begin_step(StreamState& state, const Now& now, bool everywhere);
  [[nodiscard]] std::uint64_t gather_ns(const StreamState& state) const;
  [[nodiscard]] bool gathers(const Lane& lane, const StreamState& state,
                             const shm::Walk& walk) const;
  [[nodiscard]] Took drain_lane(Lane& lane, const Now& now, StepReport& report);
  [[nodiscard]] bool append(Lane& lane, StreamState& state, const shm::Walk& walk, const Now& now,
                            StepReport& report);
  [[nodiscard]] Took idle_lane(Lane& lane, StreamState& state, const Now& now);
  [[nodiscard]] bool declare(Lane& lane, StreamState& state, bool closed, const Now& now);
  [[nodiscard]] bool end_lane(Lane& lane, StreamState& state, const Now& now);
  void stream_refused(StreamState& state, const core::Error& error, const Now& now);
  void set_full(StreamState& state, bool full);
  void refuse(Lane& lane, StreamState& state, std::uint64_t lane_end, const Now& now);
  void quarantine(const std::string& path, const std::string& why);
  void quarantine_lane(Lane& lane, const std::string& why);

  // explain.cc: schemas come along
  void explain(Lane& lane, StreamState& state);
  [[nodiscard]] core::Result<std::vector<std::byte>> find_left_schema(std::uint64_t fingerprint);
  void warn_of_schema(const Lane& lane, std::uint64_t fingerprint, const std::string& why);
  void tidy_schemas(const Now& now);

  // upkeep.cc: the streams are kept
  void watch_wall_clock(const Now& now);
  [[nodiscard]] bool clock_became_certain(const Now& now);
  void keep_stream(std::size_t index, const Now& now, bool flush_waits);
  void keep_place(std::size_t index, bool flush_waits);
  void warn_once(StreamState& state, const std::string& what);
  void plan_sync(std::size_t index, const Now& now, bool at_once);
  [[nodiscard]] std::vector<LaneMark> marks_of(std::size_t index) const;
  void publish_durable(const std::vector<LaneMark>& marks);
  [[nodiscard]] bool flush_waits(std::size_t index) const;

  LaneSource& source_;
  std::vector<StreamState> streams_;
  DrainOptions options_;
  LaneTable lanes_;
  std::map<std::string, IgnoredLane> ignored_;  // by path
  std::vector<Order> orders_;
  DrainCounters counters_;
  std::size_t first_lane_ = 0;  // round robin
  std::uint64_t looked_everywhere_at_ns_ = 0;
  bool scanned_ = false;
  bool may_gather_ = true;
  std::uint64_t scan_again_at_ns_ = 0;  // 0: only when the directory changes
  std::set<std::uint64_t> warned_schemas_;
  std::uint64_t tidy_schemas_at_ns_ = 0;
  bool clock_known_ = false;
  bool clock_certain_ = false;
  std::uint64_t clock_asked_at_ns_ = 0;
  std::int64_t clock_difference_ns_ = 0;
};

}  // namespace spillway::agent
