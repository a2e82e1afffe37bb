#include <algorithm>
#include <cstring>

#include "core/spill/foreign_stream_impl.h"
#include "core/spill/segment_scan.h"
#include "core/spill/stream_listing.h"

namespace spillway::core {

Result<void> ForeignStreamImpl::start() {
  SPILLWAY_CHECKED(check_options());
  SPILLWAY_TRY(there, env_.exists(options_.directory));
  // A newer version's is refused before anything is touched.
  if (there) SPILLWAY_CHECKED(list());
  if (!there) {
    SPILLWAY_CHECKED(env_.make_directories(path_of(kCursorsName)));
    const std::string gateway = folder_of(options_.directory);
    SPILLWAY_CHECKED(env_.sync_directory(gateway));
    SPILLWAY_CHECKED(env_.sync_directory(folder_of(gateway)));
  }
  SPILLWAY_CHECKED(env_.make_directories(path_of(kCursorsName)));
  SPILLWAY_CHECKED(take_lock());
  SPILLWAY_CHECKED(list());
  SPILLWAY_CHECKED(set_unreadable_aside());
  SPILLWAY_TRY(control, ControlPage::open(env_, path_of(kControlName)));
  control_ = std::move(control);
  if (!segments_.empty()) {
    SPILLWAY_CHECKED(recover_last());
    SPILLWAY_CHECKED(load_journals());
  }
  publish();
  return {};
}

Result<void> ForeignStreamImpl::check_options() const {
  const std::uint64_t bytes = options_.segment_bytes;
  if (bytes % kPageBytes != 0 || bytes < kForeignSegmentBytesMin ||
      bytes > options_.max_bytes / 4) {
    return fail(ErrorCode::kInvalidArgument,
                what() +
                    "segment_bytes must be a multiple of 4096, from 256 KiB to a quarter of "
                    "the stream's quota");
  }
  return {};
}

Result<void> ForeignStreamImpl::take_lock() {
  const std::string path = path_of(kLockName);
  SPILLWAY_TRY(lock, env_.open(path, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, lock->try_lock());
  if (!locked) {
    return fail(ErrorCode::kBusy, what() + "another relay, or a repair, works in " +
                                      options_.directory + " (it holds " + path + ")");
  }
  lock_ = std::move(lock);
  return {};
}

Result<void> ForeignStreamImpl::list() {
  SPILLWAY_TRY(segments, list_segment_names(env_, options_.directory, Sizes::kWanted));
  segments_ = std::move(segments);
  next_sequence_ = segments_.empty() ? 0 : segments_.back().sequence + 1;
  return {};
}

/// A segment gets its name with its header: one without is damage, and what it held the origin sends
/// again, or tells that it is gone.
Result<void> ForeignStreamImpl::set_unreadable_aside() {
  while (!segments_.empty()) {
    SegmentInfo& last = segments_.back();
    SPILLWAY_CHECKED(inspect_segment(env_, last));
    if (last.readable) break;
    damage_ = last.path + ": " + last.problem;
    SPILLWAY_CHECKED(env_.rename(last.path, last.path + kDamagedSuffix));
    SPILLWAY_CHECKED(env_.sync_directory(options_.directory));
    segments_.pop_back();
  }
  for (const SegmentInfo& info : segments_) held_bytes_ += info.bytes;
  return {};
}

Result<void> ForeignStreamImpl::recover_last() {
  const SegmentInfo& last = segments_.back();
  const format::SegmentHeader& header = last.header;
  journal_ =
      ForeignJournal{last.journal(), header.journal_sequence(), header.journal_first_offset()};
  SPILLWAY_TRY(file, env_.open(last.path, env::OpenMode::kReadWrite));
  FileWindow window(std::shared_ptr<env::File>(std::move(file)));
  SegmentScan scan(header);
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) break;
  }
  next_offset_ = scan.next_offset();
  const bool same_boot = uuid_of(*header.boot_id()) == env_.boot_id();
  elapsed_offset_ns_ = static_cast<std::int64_t>(header.elapsed_ns()) -
                       (same_boot ? static_cast<std::int64_t>(header.created_boottime_ns()) : 0);
  // After a power cut nothing is appended to it, and what can be read of it is on the disk.
  if (!same_boot || !control_->is_of_this_boot(env_)) return {};
  const auto durable = control_->durable_in_this_boot(env_, journal_->id);
  if (durable && *durable >= next_offset_) return go_on(scan.position(), scan.sealed());
  // A sync that failed may have dropped what the page cache still shows: it proves nothing to ask again.
  return write_again(std::max(durable.value_or(0), last.base_offset));
}

Result<void> ForeignStreamImpl::go_on(std::uint64_t tail, bool sealed) {
  SPILLWAY_TRY(writer, SegmentWriter::open(env_, segments_.back(), round_up(tail, kPageBytes)));
  // Declarations move no offset, so they may not be safe though all records are.
  SPILLWAY_CHECKED(writer->file()->sync_data());
  if (sealed || !writer->fits(0)) return {};
  writer->note_earlier_segments_safe();
  active_ = std::move(writer);
  return {};
}

/// Blocks from `from` on, and what was declared there, go into a new segment.
Result<void> ForeignStreamImpl::write_again(std::uint64_t from) {
  const SegmentInfo doubtful = segments_.back();
  const ForeignJournal journal = *journal_;
  SPILLWAY_TRY(file, env_.open(doubtful.path, env::OpenMode::kRead));
  FileWindow window(std::shared_ptr<env::File>(std::move(file)));
  SegmentScan scan(doubtful.header);
  next_offset_ = from;
  within_quota_ = false;
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block || block->kind() == format::BlockKind::seal) break;
    const bool moves = block->next_offset() > block->header.base_offset();
    if (moves ? block->next_offset() <= from : block->header.base_offset() < from) {
      if (!moves) static_cast<void>(declarations_.learn(block->header, block->stored));
      continue;
    }
    if (moves && next_offset_ == from) next_offset_ = block->header.base_offset();
    if (block->kind() == format::BlockKind::gap) {
      format::GapDeclaration gap;
      std::memcpy(&gap, block->stored.data(), sizeof(gap));
      SPILLWAY_CHECKED(
          append_gap(journal, gap.next_offset(), static_cast<format::GapReason>(gap.reason())));
    } else {
      SPILLWAY_CHECKED(append(journal, block->header, block->stored));
    }
  }
  within_quota_ = true;
  return sync();
}

/// The ends of the journals before the newest one; where the file is gone, of those that are held.
Result<void> ForeignStreamImpl::load_journals() {
  SPILLWAY_TRY(known, ended_.load());
  if (known || segments_.size() < 2) return {};
  std::vector<SegmentInfo> segments = segments_;
  SPILLWAY_TRY(ranges, journals_of(env_, segments));
  for (const JournalRange& range : ranges) {
    if (range.journal == journal_->id) continue;
    SPILLWAY_CHECKED(ended_.add({range.journal, range.next_offset}));
  }
  return {};
}

void ForeignStreamImpl::publish() {
  const Uuid journal = journal_ ? journal_->id : Uuid{};
  const std::uint64_t oldest = segments_.empty() ? next_offset_ : segments_.front().base_offset;
  const std::uint64_t newest = segments_.empty() ? 0 : segments_.back().sequence;
  control_->begin(env_, {oldest, next_offset_, next_offset_, newest, journal});
}

Result<std::unique_ptr<ForeignStream>> ForeignStream::open(env::Env& env, ForeignOptions options) {
  auto stream = std::make_unique<ForeignStreamImpl>(env, std::move(options));
  SPILLWAY_CHECKED(stream->start());
  return std::unique_ptr<ForeignStream>(std::move(stream));
}

}  // namespace spillway::core
