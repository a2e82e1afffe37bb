// What goes: acknowledged segments as files; dropped ones by putting another in their place that says
// so. Its gap blocks stand in the segments' order and under their journal, so that they reach the far
// end where the records would have. Neighbours of one journal become one.
#include <algorithm>
#include <cstring>

#include "core/spill/foreign_stream_impl.h"
#include "core/spill/segment_scan.h"
#include "spillway/core/cursor.h"

namespace spillway::core {

namespace {

/// What stands in for dropped segments is smaller than any other.
constexpr std::size_t kPiecesMax = 512;
constexpr std::uint64_t kStandInBytesMax = round_up(
    kSegmentHeaderBytes + kPiecesMax * block_bytes(sizeof(format::GapDeclaration)) + kPageBytes,
    kPageBytes);
static_assert(kStandInBytesMax < kForeignSegmentBytesMin);

bool stands_in(const SegmentInfo& info) { return info.bytes < kForeignSegmentBytesMin; }

/// Adds a range behind the others: without a hole, and neighbours of one reason as one.
void add_piece(std::vector<Gap>& pieces, Gap piece) {
  if (!pieces.empty()) {
    Gap& last = pieces.back();
    piece.first_offset = std::max(piece.first_offset, last.next_offset);
    if (piece.first_offset >= piece.next_offset) return;
    if (piece.first_offset > last.next_offset) {
      add_piece(pieces, {last.next_offset, piece.first_offset, format::GapReason::damage, 0});
    }
  }
  if (piece.first_offset >= piece.next_offset) return;
  const bool joins =
      !pieces.empty() && (pieces.back().reason == piece.reason || pieces.size() >= kPiecesMax);
  if (joins) {
    pieces.back().next_offset = piece.next_offset;
  } else {
    pieces.push_back(piece);
  }
}

}  // namespace

std::uint64_t ForeignStreamImpl::elapsed_ns() const {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(env_.boottime_ns()) +
                                    elapsed_offset_ns_);
}

Error ForeignStreamImpl::full() const {
  return {ErrorCode::kFull, what() + "the relay holds " + std::to_string(held_bytes_) +
                                " of at most " + std::to_string(options_.max_bytes) +
                                " bytes of it and drops nothing; it takes more when its uplinks "
                                "have delivered"};
}

Result<void> ForeignStreamImpl::make_room(std::uint64_t bytes) {
  if (!within_quota_) return {};
  const auto fits = [this, bytes] { return held_bytes_ + bytes <= options_.max_bytes; };
  if (!fits()) SPILLWAY_CHECKED(free_acknowledged());
  while (!fits()) {
    if (options_.when_full != WhenFull::kDropOldest) return tl::unexpected(full());
    SPILLWAY_TRY(dropped, drop_oldest(format::GapReason::quota));
    if (!dropped) return tl::unexpected(full());
  }
  return options_.make_room ? options_.make_room(bytes) : Result<void>{};
}

Result<void> ForeignStreamImpl::collect() {
  SPILLWAY_CHECKED(free_acknowledged());
  return options_.max_age_ns == 0 ? Result<void>{} : drop_aged();
}

Result<void> ForeignStreamImpl::free_acknowledged() {
  if (options_.uplinks.empty()) return {};
  while (segments_.size() > 1) {
    for (const std::string& uplink : options_.uplinks) {
      SPILLWAY_TRY(acknowledged, is_acknowledged(uplink));
      if (!acknowledged) return {};
    }
    SPILLWAY_CHECKED(remove_segment(0));
  }
  return {};
}

/// True if the uplink's cursor, as it stands on the disk, is behind the oldest segment.
Result<bool> ForeignStreamImpl::is_acknowledged(const std::string& uplink) {
  const std::string path = join(path_of(kCursorsName), uplink);
  SPILLWAY_TRY(position, Cursor::load(env_, path));
  if (!position) return false;
  SPILLWAY_CHECKED(inspect_segment(env_, segments_[0]));
  SPILLWAY_CHECKED(inspect_segment(env_, segments_[1]));
  if (segments_[0].readable) {
    const std::uint64_t sequence = segments_[0].header.journal_sequence();
    const bool same = segments_[1].readable && segments_[1].journal() == segments_[0].journal();
    // Where the next one is of another journal, this one's end is passed when the cursor is there.
    const bool passed = position->journal_sequence > sequence ||
                        (same && position->journal_sequence == sequence &&
                         position->next_offset >= segments_[1].base_offset);
    if (!passed) return false;
  }
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kRead));
  SPILLWAY_CHECKED(file->sync_data());
  return true;
}

Result<void> ForeignStreamImpl::remove_segment(std::size_t index) {
  auto removed = env_.remove(segments_[index].path);
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  held_bytes_ -= segments_[index].bytes;
  segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(index));
  control_->set_oldest(segments_.front().base_offset);
  return env_.sync_directory(options_.directory);
}

/// Every record of a segment came before the next one was begun.
Result<void> ForeignStreamImpl::drop_aged() {
  while (true) {
    const auto oldest = std::find_if(segments_.begin(), segments_.end(),
                                     [](const SegmentInfo& info) { return !stands_in(info); });
    if (segments_.end() - oldest < 2) return {};
    SegmentInfo& next = *(oldest + 1);
    SPILLWAY_CHECKED(inspect_segment(env_, next));
    const std::uint64_t now = elapsed_ns();
    const std::uint64_t begun = next.readable ? next.header.elapsed_ns() : now;
    if (begun + options_.max_age_ns > now) return {};
    SPILLWAY_TRY(dropped, drop_oldest(format::GapReason::age));
    if (!dropped) return {};
  }
}

Result<bool> ForeignStreamImpl::drop_oldest(format::GapReason reason) {
  std::size_t index = 0;
  while (index < segments_.size() && stands_in(segments_[index])) ++index;
  if (index + 1 >= segments_.size()) return false;
  SegmentInfo& oldest = segments_[index];
  SPILLWAY_CHECKED(inspect_segment(env_, oldest));
  if (!oldest.readable) {  // it holds nothing that could be told
    SPILLWAY_CHECKED(remove_segment(index));
    return true;
  }
  SPILLWAY_TRY(pieces, pieces_of(oldest, reason));
  if (pieces.empty()) {
    SPILLWAY_CHECKED(remove_segment(index));
    return true;
  }
  if (index > 0) {
    SegmentInfo& before = segments_[index - 1];
    SPILLWAY_CHECKED(inspect_segment(env_, before));
    if (before.readable && before.journal() == oldest.journal()) {
      SPILLWAY_TRY(joined, pieces_of(before, reason));
      for (const Gap& piece : pieces) add_piece(joined, piece);
      SPILLWAY_CHECKED(put_in_place(before, joined));
      SPILLWAY_CHECKED(remove_segment(index));
      return true;
    }
  }
  SPILLWAY_CHECKED(put_in_place(oldest, pieces));
  return true;
}

/// What is gone with the segment: its records for this reason, its gaps for their own.
Result<std::vector<Gap>> ForeignStreamImpl::pieces_of(const SegmentInfo& info,
                                                      format::GapReason reason) {
  std::vector<Gap> pieces;
  SPILLWAY_TRY(file, env_.open(info.path, env::OpenMode::kRead));
  FileWindow window(std::shared_ptr<env::File>(std::move(file)));
  SegmentScan scan(info.header);
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) return pieces;
    Gap piece{block->header.base_offset(), block->next_offset(), reason, 0};
    if (block->kind() == format::BlockKind::gap) {
      format::GapDeclaration gap;
      std::memcpy(&gap, block->stored.data(), sizeof(gap));
      piece.reason = static_cast<format::GapReason>(gap.reason());
    } else {
      dropped_records_ += block->header.count();
    }
    add_piece(pieces, piece);
  }
}

/// Under the segment's own name, in one step: whoever opens it finds the one or the other.
Result<void> ForeignStreamImpl::put_in_place(SegmentInfo& info, const std::vector<Gap>& pieces) {
  const std::uint64_t bytes =
      round_up(kSegmentHeaderBytes + pieces.size() * block_bytes(sizeof(format::GapDeclaration)) +
                   kPageBytes,
               kPageBytes);
  SegmentInfo made = info;
  made.path = path_of(kDropName);
  made.bytes = bytes;
  made.header.mutate_salt(env_.random_u64());
  made.header.mutate_segment_size(bytes);
  made.header.mutate_recycled(0);
  seal_segment_header(made.header);
  SPILLWAY_TRY(blank, make_blank_segment(env_, made.path, bytes));
  SPILLWAY_CHECKED(blank->write(0, bytes_of(made.header)));
  SPILLWAY_TRY(writer, SegmentWriter::open(env_, made, kSegmentHeaderBytes));
  BlockDraft draft;
  std::uint64_t next_offset = info.base_offset;
  for (const Gap& piece : pieces) {
    format::GapDeclaration gap;
    gap.mutate_next_offset(piece.next_offset);
    gap.mutate_reason(static_cast<std::uint8_t>(piece.reason));
    format::BlockHeader header;
    header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::gap));
    header.mutate_base_offset(next_offset);
    SPILLWAY_CHECKED(writer->write_block(header, bytes_of(gap), draft));
    next_offset = piece.next_offset;
  }
  SPILLWAY_CHECKED(writer->write_seal(next_offset, draft));
  SPILLWAY_CHECKED(writer->file()->sync_data());
  SPILLWAY_CHECKED(env_.rename(made.path, info.path));
  SPILLWAY_CHECKED(env_.sync_directory(options_.directory));
  held_bytes_ -= info.bytes - bytes;
  made.path = info.path;
  info = made;
  return {};
}

}  // namespace spillway::core
