// What bounds a stream beside its quota: the age of its records, and the room that a reject-new stream
// keeps for a new journal; and how far the levels lag behind each other.
#include <algorithm>

#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"

namespace spillway::core {

namespace {

/// So many that none is ever twice as old as it may be, and so few that the drain does not wait for the
/// disk for long.
constexpr int kAgedPerCollectMax = 8;

}  // namespace

// --- the reserve ---

std::uint64_t StreamImpl::segment_bytes_held() const {
  std::uint64_t bytes = 0;
  for (const SegmentInfo& info : segments_) bytes += info.bytes;
  return bytes;
}

/// With `bytes` more, one segment's room is still kept for a new journal's begin.
bool StreamImpl::keeps_reserve(std::uint64_t bytes) const {
  return options_.when_full == WhenFull::kDropOldest ||
         segment_bytes_held() + bytes + options_.segment_bytes <= options_.max_bytes;
}

Error StreamImpl::full() const {
  return {ErrorCode::kFull,
          what() + "its " + std::to_string(options_.max_bytes) +
              " bytes (max_bytes) are in use and nothing may be dropped: wait for "
              "the uplink, or raise max_bytes"};
}

/// The active segment stands in the reserve. After this it no longer does, and may be written.
Result<void> StreamImpl::leave_reserve() {
  SPILLWAY_CHECKED(free_acknowledged());
  if (reserve_is_used_) return tl::unexpected(full());
  if (!head_is_owed_) return {};
  // Room first: a roll writes the head by itself.
  SPILLWAY_CHECKED(make_room(head_bytes()));
  if (head_is_owed_) SPILLWAY_CHECKED(write_head(*active_, next_offset_));
  head_is_owed_ = false;
  return {};
}

// --- the age ---

Result<void> StreamImpl::enforce_age() {
  for (int dropped = 0; dropped < kAgedPerCollectMax; ++dropped) {
    SPILLWAY_TRY(aged, oldest_is_aged());
    if (!aged) break;
    SPILLWAY_CHECKED(drop_oldest(format::GapReason::age));
  }
  return roll_by_age();
}

/// All of the oldest segment was appended before the next one was begun.
Result<bool> StreamImpl::oldest_is_aged() {
  if (segments_.size() < 2 || waits_for_sync(segments_.front()) || oldest_is_moving()) return false;
  std::size_t next = 1;
  for (; next < segments_.size(); ++next) {
    SPILLWAY_CHECKED(inspect_segment(env_, segments_[next]));
    if (segments_[next].readable) break;
  }
  if (next == segments_.size()) return false;
  const std::uint64_t begun_ns = segments_[next].header.elapsed_ns();
  return age_.since(begun_ns, env_.boottime_ns()) > options_.max_age_ns;
}

bool StreamImpl::waits_for_sync(const SegmentInfo& info) const {
  const auto is_it = [&info](const Unsynced& part) {
    return part.segment->info().sequence == info.sequence;
  };
  return std::any_of(unsynced_.begin(), unsynced_.end(), is_it);
}

/// Only whole segments can be dropped: where few records come, the active one is ended before it is
/// full. Nothing is dropped, and nobody waits, to this end.
Result<void> StreamImpl::roll_by_age() {
  const SegmentInfo& info = active_->info();
  const bool wanted =
      next_offset_ > info.base_offset &&
      age_.since(info.header.elapsed_ns(), env_.boottime_ns()) > options_.max_age_ns / 2;
  const bool quiet = has_spare(options_.segment_bytes, !to_disk_) &&
                     place() != PlaceInForce::kMoving && keeps_reserve(options_.segment_bytes) &&
                     unsynced_.size() == 1;
  return wanted && quiet ? roll() : Result<void>{};
}

// --- the lag ---

std::uint64_t StreamImpl::age_ns(std::uint64_t offset) {
  if (offset >= next_offset_) return 0;
  const std::uint64_t now = env_.boottime_ns();
  if (const auto age = age_.of(offset, now)) return *age;
  // From before this start: its segment tells when it was begun.
  for (std::size_t index = segments_.size(); index-- > 0;) {
    SegmentInfo& info = segments_[index];
    if (info.base_offset > offset) continue;
    if (inspect_segment(env_, info).value_or(false) && info.readable) {
      return age_.since(info.header.elapsed_ns(), now);
    }
  }
  return age_.at(now);
}

Result<std::uint64_t> StreamImpl::delivered_offset(const std::string& uplink) {
  SPILLWAY_TRY(position, newest_cursor(uplink));
  if (!position) return oldest_offset();
  std::uint64_t next = position->next_offset;
  for (std::size_t index = segments_.size(); index-- > 0;) {
    SegmentInfo& info = segments_[index];
    SPILLWAY_CHECKED(inspect_segment(env_, info));
    if (!info.readable) continue;
    if (info.header.journal_sequence() <= position->journal_sequence) break;
    // What a later journal holds under these offsets are other records.
    next = std::min(next, info.header.journal_first_offset());
  }
  return std::clamp(next, oldest_offset(), next_offset_);
}

}  // namespace spillway::core
