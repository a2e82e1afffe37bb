#include "edge-agent/drain/drain.h"

#include <algorithm>
#include <utility>

#include "spillway/core/assert.h"
#include "spillway/core/step.h"

namespace spillway::agent {

namespace {

/// A lane's records wait for each other no longer and no more than this.
constexpr std::uint64_t kGatherNsMax = 10'000'000'000;
constexpr std::uint64_t kGatherBytesMax = 32 * 1024;
/// Where nothing is compressed, what is not yet in the spill is this part of what is not yet power-safe.
constexpr std::uint64_t kGatherShare = 20;

}  // namespace

Drain::Drain(LaneSource& source, std::vector<StreamSetup> streams, DrainOptions options)
    : source_(source),
      options_(std::move(options)),
      lanes_(options_.boot_id),
      counters_(options_.counters) {
  SPILLWAY_ASSERT(!streams.empty());
  streams_.reserve(streams.size());
  for (auto& setup : streams) {
    streams_.push_back(
        {setup.stream, std::move(setup.topics), GroupCommit(setup.sync_interval_ns)});
  }
}

StepReport Drain::step(const Now& now, Look look) {
  StepReport report;
  const bool everywhere = look == Look::kEverywhere ||
                          now.boottime_ns - looked_everywhere_at_ns_ >= options_.look_everywhere_ns;
  if (everywhere) looked_everywhere_at_ns_ = now.boottime_ns;
  watch_wall_clock(now);
  tidy_schemas(now);
  const bool look_again = scan_again_at_ns_ != 0 && now.boottime_ns >= scan_again_at_ns_;
  if (source_.changed() || !scanned_ || look_again) admit(now);
  for (auto& state : streams_) {
    if (state.stream != nullptr) begin_step(state, now, everywhere);
  }
  // Each lane once, beginning one further each step, so that none is always first when a stream
  // fills up.
  const std::size_t count = lanes_.size();
  std::size_t index = count == 0 ? 0 : first_lane_++ % count;
  for (std::size_t visited = 0; visited < count; ++visited) {
    if (index >= lanes_.size()) index = 0;
    if (lanes_.size() == 0) break;
    auto& lane = lanes_.at(index);
    // A lane that ends leaves its place to the next one.
    if ((lane.quiet && !everywhere) || drain_lane(lane, now, report) != Took::kLaneEnded) ++index;
  }
  for (std::size_t stream = 0; stream < streams_.size(); ++stream) {
    if (streams_[stream].stream == nullptr) continue;
    keep_stream(stream, now, everywhere && flush_waits(stream));
  }
  return report;
}

std::uint64_t Drain::gather_ns(const StreamState& state) const {
  if (state.stream->compresses()) return std::min(state.commit.interval_ns(), kGatherNsMax);
  return std::min(state.commit.interval_ns() / kGatherShare, options_.gather_ns_max);
}

void Drain::begin_step(StreamState& state, const Now& now, bool everywhere) {
  state.blocked = (state.failed || state.full) && now.boottime_ns < state.retry_at_ns;
  const std::uint64_t since = state.gathering_since_ns;
  const std::uint64_t longest_ns = gather_ns(state);
  state.gathers =
      may_gather_ && longest_ns != 0 && (since == 0 || now.boottime_ns - since < longest_ns);
  // A step that passes over quiet lanes would leave some behind.
  if (state.gathers || since == 0 || !everywhere) return;
  // All lanes give what they hold now, and the sync is due from when the oldest of it came.
  state.commit.appended(since);
  state.gathering_since_ns = 0;
}

/// What stays in its lane for now, to be stored in one piece with what comes next.
bool Drain::gathers(const Lane& lane, const StreamState& state, const shm::Walk& walk) const {
  if (!state.gathers || lane.has_successor || walk.end != shm::WalkEnd::kEmpty) return false;
  const std::uint64_t limit = std::min(lane.reader->capacity() / 8, kGatherBytesMax);
  return walk.frames.size() < limit && !lane.reader->producer_waits() &&
         lane.reader->flush_wanted() <= lane.reader->position();
}

std::vector<Order> Drain::take_orders() { return std::exchange(orders_, {}); }

Drain::Took Drain::drain_lane(Lane& lane, const Now& now, StepReport& report) {
  if (!lane.stream || lane.waiting) return Took::kNothing;
  auto& state = streams_[*lane.stream];
  if (state.blocked) return Took::kNothing;

  const std::uint64_t run_bytes_max = state.stream->run_bytes_max();
  const auto walk = lane.reader->walk(std::min(options_.lane_bytes_per_step, run_bytes_max));
  lane.quiet = walk.frames.empty();
  if (lane.quiet) {
    if (walk.end != shm::WalkEnd::kDamaged) return idle_lane(lane, state, now);
    quarantine_lane(lane, walk.rule == nullptr ? "a rule of the lane is broken" : walk.rule);
    return Took::kLaneEnded;
  }
  if (walk.frames.size() > run_bytes_max) {
    refuse(lane, state, walk.lane_end, now);
    report.more = true;
    return Took::kSome;
  }
  if (gathers(lane, state, walk)) {
    lane.quiet = true;
    report.gathering = true;
    if (state.gathering_since_ns == 0) state.gathering_since_ns = now.boottime_ns;
    return Took::kNothing;
  }
  if (walk.end == shm::WalkEnd::kBounded) report.more = true;
  lane.bounded_walks = walk.end == shm::WalkEnd::kBounded ? lane.bounded_walks + 1 : 0;
  if (walk.frames.size() > lane.reader->capacity() / 8) report.pressed = true;
  return append(lane, state, walk, now, report) ? Took::kSome : Took::kLaneEnded;
}

/// False if the lane was set aside.
bool Drain::append(Lane& lane, StreamState& state, const shm::Walk& walk, const Now& now,
                   StepReport& report) {
  if (!lane.declared && !declare(lane, state, false, now)) return true;
  if (!lane.explained) explain(lane, state);
  const auto kind = static_cast<std::size_t>(lane.reader->identity().clock_kind());
  core::FrameRun run;
  run.lane_id = lane.id();
  run.lane_end = walk.lane_end;
  run.frames = walk.frames;
  run.anchor_ticks = now.ticks.at(std::min(kind, now.ticks.size() - 1));
  run.anchor_boottime_ns = now.boottime_ns;
  run.pressed = lane.bounded_walks > 1 || walk.frames.size() > lane.reader->capacity() / 2;
  const auto appended = state.stream->append(run);
  if (!appended) {
    if (appended.error().code == core::ErrorCode::kCorrupt) {
      quarantine_lane(lane, appended.error().message);
      return false;
    }
    stream_refused(state, appended.error(), now);
    report.more = false;
    return true;
  }
  SPILLWAY_STEP("drain.appended");
  lane.reader->consume(walk.lane_end);
  SPILLWAY_STEP("drain.consumed");
  if (state.full) set_full(state, false);
  if (state.failed) {
    state.failed = false;
    state.trouble.error.clear();
    state.trouble.read_only = false;
    options_.log(Severity::kInfo, "stream " + state.stream->options().name + ": works again");
  }
  state.commit.appended(now.boottime_ns);
  const std::uint64_t records = appended->next_offset - appended->first_offset;
  report.records += records;
  report.bytes += walk.frames.size();
  counters_.records += records;
  counters_.frame_bytes += walk.frames.size();
  ++counters_.blocks;
  return true;
}

/// A walk that is longer than it was asked to be is one record (and the padding behind it).
void Drain::refuse(Lane& lane, StreamState& state, std::uint64_t lane_end, const Now& now) {
  if (!std::exchange(lane.told_of_size, true)) {
    options_.log(Severity::kWarning,
                 "lane " + lane.path + ": a record is larger than the " +
                     std::to_string(state.stream->run_bytes_max() - sizeof(format::FrameHeader)) +
                     " bytes that stream " + state.stream->options().name +
                     " takes; it is counted as rejected, and so is each one after it: raise "
                     "segment_bytes");
  }
  lane.reader->refuse(lane_end);
  ++counters_.too_large;
  // The next sync tells the lane that its end is power-safe, whatever else there is to sync.
  state.commit.appended(now.boottime_ns);
}

/// Nothing is committed in the lane now: is its producer still there, has its count of rejections
/// changed?
Drain::Took Drain::idle_lane(Lane& lane, StreamState& state, const Now& now) {
  // Known to be gone before this walk, and the walk was empty: that was all.
  if (lane.gone) return end_lane(lane, state, now) ? Took::kLaneEnded : Took::kNothing;
  const std::uint64_t interval =
      lane.has_successor ? options_.successor_gone_check_ns : options_.gone_check_ns;
  if (now.boottime_ns - lane.gone_checked_at_ns >= interval) {
    lane.gone_checked_at_ns = now.boottime_ns;
    lane.gone = lane.reader->producer_gone();
  }
  const bool changed = lane.reader->rejected() != lane.declared_rejected;
  if (changed && now.boottime_ns >= lane.declare_again_at_ns) {
    static_cast<void>(declare(lane, state, false, now));
  }
  return Took::kNothing;
}

bool Drain::declare(Lane& lane, StreamState& state, bool closed, const Now& now) {
  const std::uint64_t rejected = lane.reader->rejected();
  const auto declared = state.stream->declare_lane(lane.reader->identity(), lane.reader->position(),
                                                   rejected, closed);
  if (!declared) {
    if (declared.error().code != core::ErrorCode::kFull) {
      stream_refused(state, declared.error(), now);
    } else if (!std::exchange(lane.refused, true)) {
      // No room for one more lane is this lane's trouble alone; where the disk is full, append will
      // say so for all.
      lane.reader->set_stream_full(true);
      options_.log(Severity::kWarning, "lane " + lane.path + ": " + declared.error().message);
    }
    return false;
  }
  SPILLWAY_STEP("drain.declared");
  if (state.stream->schemas_left_out() != state.schemas_left_out) {
    state.schemas_left_out = state.stream->schemas_left_out();
    options_.log(Severity::kWarning,
                 "stream " + state.stream->options().name +
                     ": so many lanes that its segments no longer have room for all their schemas; "
                     "raise segment_bytes");
  }
  if (std::exchange(lane.refused, false)) lane.reader->set_stream_full(false);
  lane.declared = true;
  lane.declared_rejected = rejected;
  lane.declare_again_at_ns = now.boottime_ns + options_.declare_interval_ns;
  state.commit.appended(now.boottime_ns);
  return true;
}

/// The producer is gone and the lane is empty. False if the stream could not take the last
/// declaration: try again later.
bool Drain::end_lane(Lane& lane, StreamState& state, const Now& now) {
  if (lane.declared || lane.reader->rejected() != 0) {
    if (!declare(lane, state, true, now)) return false;
    SPILLWAY_STEP("drain.declared_closed");
    state.stream->forget_lane(lane.id());
    SPILLWAY_STEP("drain.forgotten");
  }
  if (const auto removed = source_.remove(lane.path);
      !removed && removed.error().code != core::ErrorCode::kNotFound) {
    options_.log(Severity::kError, removed.error().message);
    ignore(lane.path, "ended, but cannot be removed: " + removed.error().message,
           now.boottime_ns + options_.retry_ns);
  }
  SPILLWAY_STEP("drain.removed");
  ++counters_.lanes_ended;
  lanes_.erase(lane);
  // A user at the limit may have a lane waiting for this one's place.
  if (!ignored_.empty()) scan_again_at_ns_ = now.boottime_ns;
  return true;
}

/// The stream takes nothing now: full (its lanes fill, producers are told) or failed. Both are
/// tried again.
void Drain::stream_refused(StreamState& state, const core::Error& error, const Now& now) {
  state.blocked = true;
  if (error.code == core::ErrorCode::kBusy) return;  // the disk lags: the sync under way ends it
  const std::string& name = state.stream->options().name;
  if (error.code == core::ErrorCode::kFull) {
    if (!state.full) options_.log(Severity::kWarning, "stream " + name + ": " + error.message);
    set_full(state, true);
    state.trouble.error = error.message;
    state.retry_at_ns = now.boottime_ns + options_.full_retry_ns;
    return;
  }
  if (!state.failed) options_.log(Severity::kError, "stream " + name + ": " + error.message);
  state.failed = true;
  ++state.trouble.refusals;
  state.trouble.error = error.message;
  state.trouble.read_only = error.code == core::ErrorCode::kReadOnly;
  state.retry_at_ns = now.boottime_ns + options_.retry_ns;
}

void Drain::set_full(StreamState& state, bool full) {
  if (state.full == full) return;
  state.full = full;
  if (!full) {
    state.trouble.error.clear();
    options_.log(Severity::kInfo, "stream " + state.stream->options().name + ": has room again");
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    auto& lane = lanes_.at(i);
    if (lane.stream && &streams_[*lane.stream] == &state) lane.reader->set_stream_full(full);
  }
}

void Drain::quarantine(const std::string& path, const std::string& why) {
  ++counters_.quarantined;
  options_.log(Severity::kWarning, "lane " + path + " set aside: " + why);
  const auto moved = source_.quarantine(path);
  if (moved || moved.error().code == core::ErrorCode::kNotFound) return;
  // It stays where it is, but nothing will touch it again.
  ignore(path, "set aside: " + why + "; cannot be moved: " + moved.error().message, 0);
}

void Drain::quarantine_lane(Lane& lane, const std::string& why) {
  lane.reader->set_quarantined();
  // Not declared closed: the far end must not take the lane's record for complete.
  if (lane.declared && lane.stream) streams_[*lane.stream].stream->forget_lane(lane.id());
  const std::string path = lane.path;
  lanes_.erase(lane);
  quarantine(path, why);
  SPILLWAY_STEP("drain.quarantined");
}

}  // namespace spillway::agent
