#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"
#include "spillway/core/cursor.h"

namespace spillway::core {

std::uint64_t StreamImpl::oldest_offset() const {
  return segments_.empty() ? next_offset_ : segments_.front().base_offset;
}

std::uint64_t StreamImpl::held_bytes() const {
  std::uint64_t bytes = spare_ == Spare::kNone ? 0 : options_.segment_bytes;
  for (const SegmentInfo& info : segments_) bytes += info.bytes;
  return bytes;
}

bool StreamImpl::may_drop_oldest() const {
  return options_.when_full == WhenFull::kDropOldest && segments_.size() > 1;
}

/// Brings the total below the quota, so that `bytes` more are within it.
Result<void> StreamImpl::make_disk_room(std::uint64_t bytes) {
  if (held_bytes() + bytes <= options_.max_bytes) return {};
  SPILLWAY_CHECKED(collect());
  while (held_bytes() + bytes > options_.max_bytes) {
    if (!may_drop_oldest()) {
      return fail(ErrorCode::kFull, what() + "its " + std::to_string(options_.max_bytes) +
                                        " bytes (max_bytes) are in use and nothing may be dropped: "
                                        "wait for the uplink, or raise max_bytes");
    }
    SPILLWAY_CHECKED(drop_oldest());
  }
  return {};
}

Result<void> StreamImpl::drop_oldest() {
  const std::uint64_t first = segments_[0].base_offset;
  const std::uint64_t next = std::min(end_limit(segments_, 0), next_offset_);
  if (first < next) {
    SPILLWAY_CHECKED(gaps_->record({first, next, format::GapReason::quota, env_.utc_ns()}));
  }
  return remove_oldest();
}

Result<void> StreamImpl::remove_oldest() {
  auto removed = env_.remove(segments_[0].path);
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  segments_.erase(segments_.begin());
  control_->set_oldest(oldest_offset());
  // One by one: should a removal be undone by a power cut, no hole may stand behind what reappears.
  return env_.sync_directory(options_.directory);
}

/// True if the uplink's cursor, as it stands on the disk, is behind segments_[index].
Result<bool> StreamImpl::is_acknowledged(const std::string& uplink, std::size_t index) {
  const std::string path = join(path_of(kCursorsName), uplink);
  SPILLWAY_TRY(position, Cursor::load(env_, path));
  if (!position) return false;
  const SegmentInfo& info = segments_[index];
  const std::uint64_t end = end_limit(segments_, index);
  if (!info.readable) return position->next_offset >= end;
  const std::uint64_t sequence = info.header.journal_sequence();
  // A cursor of an earlier journal may name offsets that the later one gave to other records.
  if (position->journal_sequence < sequence || position->next_offset < end) return false;
  if (position->journal_sequence == sequence && position->journal != info.journal()) return false;
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kRead));
  SPILLWAY_CHECKED(file->sync_data());
  return true;
}

Result<void> StreamImpl::collect() {
  if (!failure_.empty()) {
    if (auto rewritten = rewrite_unsynced(); !rewritten) return fail(ErrorCode::kIo, failure_);
  }
  if (options_.uplinks.empty()) return {};
  while (segments_.size() > 1) {
    for (const std::string& uplink : options_.uplinks) {
      SPILLWAY_TRY(acknowledged, is_acknowledged(uplink, 0));
      if (!acknowledged) return {};
    }
    SPILLWAY_CHECKED(remove_oldest());
  }
  return {};
}

}  // namespace spillway::core
