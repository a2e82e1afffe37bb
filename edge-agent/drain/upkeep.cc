// How the streams are kept: group commit, moves out of memory, spare segments, freeing, the wall
// clock.
#include "edge-agent/drain/drain.h"

namespace spillway::agent {

/// A clock that was right all along steps nowhere when it is found to be: the far end must hear it.
bool Drain::clock_became_certain(const Now& now) {
  if (clock_certain_ || options_.env == nullptr || now.boottime_ns < clock_asked_at_ns_) {
    return false;
  }
  clock_asked_at_ns_ = now.boottime_ns + options_.clock_ask_interval_ns;
  clock_certain_ = options_.env->utc_is_certain();
  return clock_certain_;
}

void Drain::watch_wall_clock(const Now& now) {
  const auto difference = static_cast<std::int64_t>(now.utc_ns - now.boottime_ns);
  if (!clock_known_) {
    // Each stream wrote a clock block when it was opened.
    clock_known_ = true;
    clock_difference_ns_ = difference;
    clock_certain_ = options_.env != nullptr && options_.env->utc_is_certain();
    return;
  }
  const std::int64_t moved = difference - clock_difference_ns_;
  const bool stepped =
      static_cast<std::uint64_t>(moved < 0 ? -moved : moved) > options_.clock_step_ns;
  if (stepped) clock_asked_at_ns_ = now.boottime_ns;
  if (!clock_became_certain(now) && !stepped) return;
  clock_difference_ns_ = difference;
  for (auto& state : streams_) {
    if (state.stream == nullptr) continue;
    if (const auto written = state.stream->append_clock(); !written) {
      stream_refused(state, written.error(), now);
    } else {
      state.commit.appended(now.boottime_ns);
    }
  }
}

void Drain::keep_stream(std::size_t index, const Now& now, bool flush_waits) {
  auto& state = streams_[index];
  // A segment that was ended for its age waits for a sync, too, though nothing was appended.
  if (state.stream->sync_is_urgent()) state.commit.appended(now.boottime_ns);
  keep_place(index, flush_waits);
  plan_sync(index, now, flush_waits || state.stream->sync_is_urgent());
  if (now.boottime_ns >= state.spare_at_ns) {
    if (auto spare = state.stream->order_spare()) orders_.push_back({index, std::move(*spare)});
  }
  if (auto training = state.stream->order_training()) {
    orders_.push_back({index, std::move(*training)});
  }
  if (now.boottime_ns < state.collect_at_ns) return;
  state.collect_at_ns = now.boottime_ns + options_.collect_interval_ns;
  if (const auto collected = state.stream->collect(); !collected) {
    warn_once(state, collected.error().message);
  } else if (now.boottime_ns >= state.spare_at_ns) {
    state.warned.clear();
  }
}

void Drain::keep_place(std::size_t index, bool flush_waits) {
  auto& state = streams_[index];
  if (flush_waits) {
    const auto asked = state.stream->ask_power_safe();
    if (!asked && asked.error().code != core::ErrorCode::kBusy) {
      warn_once(state, asked.error().message);
    }
  }
  if (auto move = state.stream->order_move()) orders_.push_back({index, std::move(*move)});
}

/// A disk that fails says the same each second.
void Drain::warn_once(StreamState& state, const std::string& what) {
  if (state.warned == what) return;
  state.warned = what;
  options_.log(Severity::kError, what);
}

void Drain::plan_sync(std::size_t index, const Now& now, bool at_once) {
  auto& state = streams_[index];
  if (!state.commit.due(now.boottime_ns, at_once) || state.stream->waits_for_move()) return;
  auto marks = marks_of(index);
  if (auto plan = state.stream->plan_sync()) {
    // What stands in memory is not in the plan: it stays unsynced, and its lanes are not told of it.
    const bool whole = plan->next_offset == state.stream->next_offset();
    state.commit.planned(whole ? std::move(marks) : std::vector<LaneMark>{});
    if (!whole) state.commit.appended(now.boottime_ns);
    orders_.push_back({index, std::move(*plan)});
    return;
  }
  // None is under way (due says so), so everything is power-safe already: a roll had to sync it.
  if (state.stream->durable_offset() < state.stream->next_offset()) return;
  state.commit.clean();
  publish_durable(marks);
}

void Drain::request_sync(const Now& now) {
  for (std::size_t index = 0; index < streams_.size(); ++index) {
    if (streams_[index].stream == nullptr) continue;
    keep_place(index, true);
    plan_sync(index, now, true);
  }
}

void Drain::finish(const Order& order, const core::Result<void>& outcome, const Now& now) {
  auto& state = streams_[order.stream];
  if (const auto* spare = std::get_if<core::SpareOrder>(&order.work)) {
    if (!outcome) {
      state.spare_at_ns = now.boottime_ns + options_.retry_ns;
      warn_once(state, outcome.error().message);
    }
    state.stream->finish_spare(*spare, outcome);
    return;
  }
  if (const auto* move = std::get_if<core::MoveOrder>(&order.work)) {
    const auto moved = state.stream->finish_move(*move, outcome);
    if (!moved) options_.log(Severity::kError, moved.error().message);
    return;
  }
  if (const auto* training = std::get_if<core::TrainingOrder>(&order.work)) {
    // Without a dictionary blocks are compressed all the same, only less.
    state.stream->finish_training(*training, outcome);
    return;
  }
  const auto& plan = std::get<core::SyncPlan>(order.work);
  const auto finished = state.stream->finish_sync(plan, outcome);
  const bool safe = outcome && finished && state.stream->durable_offset() >= plan.next_offset;
  if (!outcome || !finished) {
    ++counters_.sync_failures;
    options_.log(Severity::kError, "stream " + state.stream->options().name + ": " +
                                       (outcome ? finished : outcome).error().message);
  }
  publish_durable(state.commit.finished(safe, now.boottime_ns));
}

std::vector<LaneMark> Drain::marks_of(std::size_t index) const {
  std::vector<LaneMark> marks;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    const auto& lane = lanes_.at(i);
    if (lane.stream != index || lane.reader->position() == lane.durable) continue;
    marks.push_back({lane.id(), lane.reader->position()});
  }
  return marks;
}

void Drain::publish_durable(const std::vector<LaneMark>& marks) {
  for (const auto& mark : marks) {
    auto* lane = lanes_.find(mark.lane_id);
    if (lane == nullptr || mark.position <= lane->durable) continue;
    lane->durable = mark.position;
    lane->reader->set_durable(mark.position);
  }
}

/// A producer waits for records that the stream has and the disk has not.
bool Drain::flush_waits(std::size_t index) const {
  if (!streams_[index].commit.dirty() || streams_[index].commit.under_way()) return false;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    const auto& lane = lanes_.at(i);
    if (lane.stream != index) continue;
    const std::uint64_t wanted = lane.reader->flush_wanted();
    if (wanted > lane.durable && wanted <= lane.reader->position()) return true;
  }
  return false;
}

}  // namespace spillway::agent
