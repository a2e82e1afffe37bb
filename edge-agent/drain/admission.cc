// How lanes come into the drain: found, limited, mapped, routed, resumed.
#include <algorithm>
#include <set>

#include "edge-agent/drain/drain.h"
#include "spillway/core/assert.h"
#include "spillway/core/step.h"
#include "spillway/core/topic.h"

namespace spillway::agent {

void Drain::admit(const Now& now) {
  const auto paths = source_.lanes();
  if (!paths) {
    options_.log(Severity::kError, paths.error().message);
    scan_again_at_ns_ = now.boottime_ns + options_.retry_ns;
    return;
  }
  const std::set<std::string> present(paths->begin(), paths->end());
  std::erase_if(ignored_, [&present](const auto& entry) { return !present.contains(entry.first); });
  scan_again_at_ns_ = 0;
  std::optional<core::CrashGuard> guard;
  for (const auto& path : *paths) {
    if (lanes_.has_path(path)) continue;
    if (const auto known = ignored_.find(path); known != ignored_.end()) {
      const std::uint64_t retry_at = known->second.retry_at_ns;
      if (retry_at == 0 || now.boottime_ns < retry_at) continue;
    }
    if (options_.env == nullptr) {
      admit_one(path, now);
      continue;
    }
    if (!guard) guard.emplace(*options_.env, options_.guard_path);
    admit_guarded(path, *guard, now);
  }
  if (guard) guard->done();
  for (const auto& [path, entry] : ignored_) {
    if (entry.retry_at_ns == 0) continue;
    scan_again_at_ns_ =
        scan_again_at_ns_ == 0 ? entry.retry_at_ns : std::min(scan_again_at_ns_, entry.retry_at_ns);
  }
  if (!scanned_) forget_vanished_lanes();
  scanned_ = true;
}

void Drain::admit_guarded(const std::string& path, core::CrashGuard& guard, const Now& now) {
  if (guard.is_deadly(path)) {
    quarantine(path, "three agents in a row have died when they took it up");
    return;
  }
  guard.begin(path);
  admit_one(path, now);
}

void Drain::admit_one(const std::string& path, const Now& now) {
  const auto facts = source_.facts(path);
  if (!facts) return;  // gone again
  if (!within_limits(path, *facts, now)) return;
  auto reader = source_.attach(path);
  if (!reader) {
    switch (reader.error().code) {
      case core::ErrorCode::kNotFound:
        return;
      case core::ErrorCode::kCorrupt:
        quarantine(path, reader.error().message);
        return;
      case core::ErrorCode::kNewerVersion:
        ignore(path, reader.error().message, 0);
        return;
      default:
        ignore(path, reader.error().message, now.boottime_ns + options_.retry_ns);
        return;
    }
  }
  auto lane = std::make_unique<Lane>();
  lane->reader = std::move(*reader);
  lane->path = path;
  lane->topic = core::topic_of(lane->reader->identity());
  lane->producer = core::producer_of(lane->reader->identity());
  lane->uid = facts->uid;
  lane->file_bytes = facts->bytes;
  if (lanes_.find(lane->id()) != nullptr) {
    lane->reader->set_quarantined();
    quarantine(path, "another lane has the same id");
    return;
  }
  const std::uint64_t spilled_end = route(*lane);
  if (waits_for_stream(*lane)) return;
  if (const auto resumed = lane->reader->resume(spilled_end); !resumed) {
    lane->reader->set_quarantined();
    quarantine(path, resumed.error().message);
    return;
  }
  SPILLWAY_STEP("drain.resumed");
  if (lane->reader->position() > spilled_end && lane->stream) {
    // The lane was told that more is process-safe than the spill holds: pages or power were lost
    // behind its back.
    const std::uint64_t lost = lane->reader->position() - spilled_end;
    ++counters_.rolled_back_lanes;
    counters_.rolled_back_bytes += lost;
    options_.log(Severity::kError, "lane " + path + " (" + lane->topic + ", " + lane->producer +
                                       "): the spill was rolled back behind it; " +
                                       std::to_string(lost) + " bytes of records are lost");
  }
  ignored_.erase(path);
  if (lane->stream) {
    auto& state = streams_[*lane->stream];
    if (lane->reader->position() != 0) state.commit.appended(now.boottime_ns);
    // Either way: the agent before may have died with the word set.
    lane->reader->set_stream_full(state.full);
  } else {
    options_.log(Severity::kWarning, "lane " + path + ": no stream takes the topic " + lane->topic +
                                         "; it is not drained");
  }
  lanes_.add(std::move(lane));
}

void Drain::ignore(const std::string& path, std::string reason, std::uint64_t retry_at_ns) {
  const auto known = ignored_.find(path);
  if (known == ignored_.end() || known->second.reason != reason) {
    options_.log(Severity::kWarning, "lane " + path + " is not drained: " + reason);
  }
  ignored_[path] = {std::move(reason), retry_at_ns};
  if (retry_at_ns == 0) return;
  scan_again_at_ns_ =
      scan_again_at_ns_ == 0 ? retry_at_ns : std::min(scan_again_at_ns_, retry_at_ns);
}

bool Drain::within_limits(const std::string& path, const LaneFileFacts& facts, const Now& now) {
  const auto total = lanes_.total_of(facts.uid);
  if (total.lanes + 1 <= options_.lanes_per_user_max &&
      total.bytes + facts.bytes <= options_.lane_bytes_per_user_max) {
    return true;
  }
  ignore(path,
         "user " + std::to_string(facts.uid) +
             " is at the limit of lanes; raise lanes_per_user_max or lane_bytes_per_user_max",
         now.boottime_ns + options_.retry_ns);
  return false;
}

/// Chooses the lane's stream, and returns where the spill says it stands.
std::uint64_t Drain::route(Lane& lane) {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].stream == nullptr) continue;
    for (const auto& known : streams_[i].stream->lanes()) {
      if (known.identity.lane_id() != lane.id()) continue;
      lane.stream = i;
      lane.declared = !known.closed;
      lane.declared_rejected = known.rejected;
      return known.lane_end;
    }
  }
  for (std::size_t i = 0; i < streams_.size() && !lane.stream; ++i) {
    const auto& topics = streams_[i].topics;
    if (std::any_of(topics.begin(), topics.end(), [&lane](const std::string& filter) {
          return core::topic_matches(filter, lane.topic);
        })) {
      lane.stream = i;
    }
  }
  return 0;
}

bool Drain::waits_for_stream(const Lane& lane) {
  if (!lane.stream || streams_[*lane.stream].stream != nullptr) return false;
  // No line in the log for each: that the stream is away was said.
  ignored_[lane.path] = {"its stream is not open: see there", 0, true};
  return true;
}

void Drain::let_go(std::size_t index) {
  for (std::size_t i = lanes_.size(); i-- > 0;) {
    if (lanes_.at(i).stream == index) lanes_.erase(lanes_.at(i));
  }
  std::erase_if(orders_, [index](const Order& order) { return order.stream == index; });
  auto& state = streams_[index];
  state = {nullptr, std::move(state.topics), GroupCommit(state.commit.interval_ns())};
  scanned_ = false;
}

void Drain::take_up(std::size_t index, core::Stream& stream) {
  streams_[index].stream = &stream;
  std::erase_if(ignored_, [](const auto& entry) { return entry.second.stream_is_away; });
  scanned_ = false;
}

void Drain::configure(std::size_t index, std::vector<std::string> topics,
                      std::uint64_t sync_interval_ns) {
  SPILLWAY_ASSERT(streams_[index].stream == nullptr);
  streams_[index] = {nullptr, std::move(topics), GroupCommit(sync_interval_ns)};
}

/// Lanes that the spill knows and the queue no longer has (a reboot, or a kill between a lane's
/// last declaration and its removal) would be repeated in each segment for ever. Only when every
/// lane file could be read: one that comes back later must find its position.
void Drain::forget_vanished_lanes() {
  if (!ignored_.empty()) return;
  for (auto& state : streams_) {
    if (state.stream == nullptr) continue;
    std::vector<std::uint64_t> vanished;
    for (const auto& known : state.stream->lanes()) {
      const std::uint64_t id = known.identity.lane_id();
      if (lanes_.find(id) == nullptr) vanished.push_back(id);
    }
    for (const std::uint64_t id : vanished) state.stream->forget_lane(id);
  }
}

}  // namespace spillway::agent
