#include <algorithm>

#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"
#include "spillway/core/cursor.h"

namespace spillway::core {

std::uint64_t StreamImpl::oldest_offset() const {
  return segments_.empty() ? next_offset_ : segments_.front().base_offset;
}

/// A record counts as safe where it was delivered and freed, too: what is held no more is not missed.
std::uint64_t StreamImpl::durable_offset() const {
  const SegmentInfo* memory = first_in_memory();
  const std::uint64_t synced = unsynced_.front().offset;
  return memory == nullptr ? synced : std::min(synced, memory->base_offset);
}

std::uint64_t StreamImpl::held_bytes() const {
  return segment_bytes_held() + (spare_ == Spare::kNone ? 0 : options_.segment_bytes);
}

bool StreamImpl::may_drop_oldest() const {
  return options_.when_full == WhenFull::kDropOldest && segments_.size() > 1 && !oldest_is_moving();
}

/// Brings the total below the quota, so that `bytes` more are within it; or makes a spare of them.
Result<void> StreamImpl::make_disk_room(std::uint64_t bytes, bool in_memory, Use use) {
  const auto has_room = [this, bytes, in_memory, use] {
    const bool within = has_spare(bytes, in_memory) || held_bytes() + bytes <= options_.max_bytes;
    return within && (use == Use::kBeginning || keeps_reserve(bytes));
  };
  if (has_room()) return {};
  SPILLWAY_CHECKED(free_acknowledged());
  while (!has_room()) {
    if (has_spare() && !has_spare(bytes, in_memory)) {
      SPILLWAY_CHECKED(discard_spare());
      continue;
    }
    if (oldest_is_moving()) {
      return fail(ErrorCode::kBusy, what() + "its oldest segment is just being moved to the disk");
    }
    if (!may_drop_oldest()) return tl::unexpected(full());
    SPILLWAY_CHECKED(drop_oldest(format::GapReason::quota));
  }
  return {};
}

/// The file system is full, whatever the quota says: gives back what is needed least. False: all of it is
/// needed.
Result<bool> StreamImpl::give_back(bool in_memory) {
  if (has_spare() && spare_in_memory_ == in_memory) {
    SPILLWAY_CHECKED(discard_spare());
    return true;
  }
  // What was delivered is no loss, and must not be called one.
  const std::size_t held = segments_.size();
  SPILLWAY_CHECKED(free_acknowledged());
  if (segments_.size() < held) return true;
  if (!may_drop_oldest() || segments_.front().in_memory != in_memory) return false;
  SPILLWAY_CHECKED(drop_oldest(format::GapReason::quota));
  return true;
}

Result<void> StreamImpl::drop_oldest(format::GapReason reason) {
  const std::uint64_t first = segments_[0].base_offset;
  const std::uint64_t next = std::min(end_limit(segments_, 0), next_offset_);
  if (first < next) {
    SPILLWAY_CHECKED(gaps_->record({first, next, reason, env_.utc_ns()}));
  }
  return remove_oldest();
}

/// A segment that nobody needs any more may become the next one: its disk space is written already.
/// What a sync still waits for may have to be written again from memory, so it must stay as it is.
bool StreamImpl::may_recycle(const SegmentInfo& info) const {
  return spare_ == Spare::kNone && info.bytes == options_.segment_bytes &&
         info.in_memory != to_disk_ && !waits_for_sync(info);
}

Result<void> StreamImpl::remove_oldest() {
  const SegmentInfo oldest = segments_[0];
  const std::string& path = oldest.path;
  if (!oldest.in_memory && (memory_first() || anchor_offset_)) {
    SPILLWAY_CHECKED(anchor_at(std::min(end_limit(segments_, 0), next_offset_)));
  }
  // What was begun on the disk behind it is the first there now, without a hole before it.
  if (oldest.in_memory && segments_.size() > 1 && !segments_[1].in_memory) {
    SPILLWAY_CHECKED(anchor_at(segments_[1].base_offset));
  }
  const bool recycles = may_recycle(oldest);
  if (recycles) spare_in_memory_ = oldest.in_memory;
  auto freed = recycles ? env_.rename(path, spare_path()) : env_.remove(path);
  if (!freed && freed.error().code != ErrorCode::kNotFound) return freed;
  // A move that failed at its very end has left a copy.
  if (oldest.in_memory && tried_ == oldest.sequence) {
    static_cast<void>(env_.remove(path_of(segment_file_name(oldest.sequence, oldest.base_offset))));
  }
  segments_.erase(segments_.begin());
  note_reserve();
  control_->set_oldest(oldest_offset());
  age_.forget_below(oldest_offset());
  // One by one: should a removal be undone by a power cut, no hole may stand behind what reappears.
  // And before a recycled file is written: nothing else may ever stand under its old name.
  SPILLWAY_CHECKED(env_.sync_directory(folder_of(path)));
  if (recycles && freed) spare_ = Spare::kCold;
  if (oldest.in_memory) note_durable();
  return {};
}

/// As far as it can be known: nothing of its journal may be held any more, not even its begin.
Result<bool> StreamImpl::is_of_this_stream(const CursorPosition& position) {
  if (position.journal_sequence == journal_.sequence) return position.journal == journal_.id;
  if (position.journal_sequence > journal_.sequence) return false;
  for (SegmentInfo& info : segments_) {
    SPILLWAY_CHECKED(inspect_segment(env_, info));
    if (!info.readable || info.header.journal_sequence() < position.journal_sequence) continue;
    const bool is_it = info.header.journal_sequence() == position.journal_sequence;
    if (is_it) return info.journal() == position.journal;
    break;
  }
  return position.next_offset <= next_offset_;
}

/// A whole cursor of another spill (a file that was copied here) counts as none: it must not free what nobody
/// has.
Result<std::optional<CursorPosition>> StreamImpl::cursor_at(const std::string& path) {
  SPILLWAY_TRY(position, Cursor::load(env_, path));
  if (!position) return position;
  SPILLWAY_TRY(ours, is_of_this_stream(*position));
  return ours ? position : std::nullopt;
}

/// True if the uplink's cursor, as it stands on the disk, is behind segments_[index].
Result<bool> StreamImpl::is_acknowledged(const std::string& uplink, std::size_t index) {
  const std::string path = join(path_of(kCursorsName), uplink);
  SegmentInfo& info = segments_[index];
  SPILLWAY_TRY(position, info.in_memory ? newest_cursor(uplink) : cursor_at(path));
  if (!position) return false;
  SPILLWAY_CHECKED(inspect_segment(env_, info));
  const std::uint64_t end = end_limit(segments_, index);
  if (!info.readable) return position->next_offset >= end;
  // A cursor of an earlier journal may name offsets that the later one gave to other records.
  const std::uint64_t sequence = info.header.journal_sequence();
  if (position->journal_sequence < sequence || position->next_offset < end) return false;
  // What is in memory goes with a power cut, and the cursor with it.
  if (info.in_memory) return true;
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kRead));
  SPILLWAY_CHECKED(file->sync_data());
  return true;
}

Result<void> StreamImpl::collect() {
  if (!faults_.failure.empty()) {
    if (auto rewritten = rewrite_unsynced(); !rewritten) return failed();
  }
  auto freed = free_acknowledged();
  if (freed && options_.max_age_ns != 0) freed = enforce_age();
  auto kept = keep_placement();
  return freed ? kept : freed;
}

/// The part of collect() that a rewrite, too, makes room by.
Result<void> StreamImpl::free_acknowledged() {
  if (options_.uplinks.empty()) return {};
  while (segments_.size() > 1 && !oldest_is_moving()) {
    for (const std::string& uplink : options_.uplinks) {
      SPILLWAY_TRY(acknowledged, is_acknowledged(uplink, 0));
      if (!acknowledged) return {};
    }
    SPILLWAY_CHECKED(remove_oldest());
  }
  return {};
}

}  // namespace spillway::core
