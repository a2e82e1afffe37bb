#include <algorithm>
#include <cstring>

#include "core/spill/foreign_stream_impl.h"

namespace spillway::core {

namespace {

using format::BlockKind;

/// A stream that fills a segment in less than the one gets larger ones, up to its limit; one that takes
/// longer than the other, smaller ones: a thousand quiet gateways are not to hold a disk.
constexpr std::uint64_t kFastFillNs = 2'000'000'000;
constexpr std::uint64_t kSlowFillNs = 60'000'000'000;

/// For all streams of a thread: it grows to the largest block.
BlockDraft& shared_draft() {
  thread_local BlockDraft draft;
  return draft;
}

bool is_data(const format::BlockHeader& header) {
  return header.kind() == static_cast<std::uint8_t>(BlockKind::data);
}

}  // namespace

std::optional<std::uint64_t> ForeignStreamImpl::position(const Uuid& journal) const {
  if (journal_ && journal_->id == journal) return next_offset_;
  return ended_.end_of(journal);
}

/// Journals come one after the other: what is stored of the one before is power-safe, and its end
/// noted, before a block of the next one stands anywhere.
Result<void> ForeignStreamImpl::enter(const ForeignJournal& journal) {
  if (journal_ && journal_->id == journal.id) return {};
  const auto known = ended_.end_of(journal.id);
  std::uint64_t sequence = journal.sequence;
  if (journal_) {
    if (active_ && !active_->sealed()) {
      SPILLWAY_CHECKED(active_->write_seal(next_offset_, shared_draft()));
      unsynced_ = true;
    }
    SPILLWAY_CHECKED(sync());
    SPILLWAY_CHECKED(ended_.add({journal_->id, next_offset_}));
    // A gateway whose spill was wiped numbers its journals anew; here they ascend.
    sequence = std::max(sequence, journal_->sequence + 1);
  }
  active_.reset();
  journal_ = ForeignJournal{journal.id, sequence, journal.first_offset};
  next_offset_ = std::max(known.value_or(0), journal.first_offset);
  return {};
}

Result<void> ForeignStreamImpl::append(const ForeignJournal& journal,
                                       const format::BlockHeader& header,
                                       std::span<const std::byte> stored) {
  SPILLWAY_CHECKED(enter(journal));
  if (is_data(header)) return append_data(header, stored);
  if (!declarations_.learn(header, stored)) return {};
  // Nothing of the stream is here yet: it is written with the first record.
  if (segments_.empty()) return {};
  SPILLWAY_CHECKED(make_block_room(block_bytes(stored.size())));
  return write(header, stored);
}

Result<void> ForeignStreamImpl::append_data(const format::BlockHeader& header,
                                            std::span<const std::byte> stored) {
  if (header.base_offset() != next_offset_) {
    return fail(ErrorCode::kInvalidArgument, what() + "a block at offset " +
                                                 std::to_string(header.base_offset()) + " where " +
                                                 std::to_string(next_offset_) + " comes next");
  }
  const auto bytes_with = [&](const std::vector<const Declaration*>& missing) {
    std::uint64_t bytes = block_bytes(stored.size());
    for (const Declaration* one : missing) bytes += block_bytes(one->stored.size());
    return bytes;
  };
  auto missing = declarations_.missing_for(header, stored);
  if (!active_ || active_->sealed() || !active_->has_room(bytes_with(missing))) {
    declarations_.begin_segment();
    missing = declarations_.missing_for(header, stored);
    SPILLWAY_CHECKED(roll(bytes_with(missing)));
  }
  for (const Declaration* one : missing) SPILLWAY_CHECKED(write(one->header, one->stored));
  SPILLWAY_CHECKED(write(header, stored));
  advance(next_offset_ + header.count());
  return {};
}

Result<void> ForeignStreamImpl::append_gap(const ForeignJournal& journal, std::uint64_t next_offset,
                                           format::GapReason reason) {
  SPILLWAY_CHECKED(enter(journal));
  if (next_offset <= next_offset_) return {};
  format::GapDeclaration gap;
  gap.mutate_next_offset(next_offset);
  gap.mutate_reason(static_cast<std::uint8_t>(reason));
  format::BlockHeader header;
  header.mutate_kind(static_cast<std::uint8_t>(BlockKind::gap));
  SPILLWAY_CHECKED(make_block_room(block_bytes(sizeof(gap))));
  SPILLWAY_CHECKED(write(header, bytes_of(gap)));
  advance(next_offset);
  return {};
}

Result<void> ForeignStreamImpl::make_block_room(std::uint64_t bytes) {
  if (active_ && !active_->sealed() && active_->has_room(bytes)) return {};
  declarations_.begin_segment();
  return roll(bytes);
}

/// Unaltered but for what belongs to the segment: its checksum's seed, its flags, and the offset at
/// which a declaration stands.
Result<void> ForeignStreamImpl::write(format::BlockHeader header,
                                      std::span<const std::byte> stored) {
  header.mutate_base_offset(next_offset_);
  SPILLWAY_CHECKED(active_->write_block(header, stored, shared_draft()));
  declarations_.note_written(header, stored);
  unsynced_ = true;
  if (!is_data(header)) control_->add_appended_bytes(block_bytes(stored.size()));
  return {};
}

void ForeignStreamImpl::advance(std::uint64_t next_offset) {
  next_offset_ = next_offset;
  control_->set_next(next_offset_);
}

Result<void> ForeignStreamImpl::sync() {
  if (!unsynced_) return {};
  active_->skip_to_next_page();
  SPILLWAY_CHECKED(active_->file()->sync_data());
  control_->set_durable(next_offset_, journal_->id);
  unsynced_ = false;
  return {};
}

/// The next segment, with room for blocks of so many bytes.
Result<void> ForeignStreamImpl::roll(std::uint64_t bytes) {
  if (active_ && !active_->sealed()) {
    SPILLWAY_CHECKED(active_->write_seal(next_offset_, shared_draft()));
    unsynced_ = true;
  }
  SPILLWAY_CHECKED(sync());
  active_.reset();
  const std::uint64_t size = next_segment_bytes(bytes);
  SPILLWAY_CHECKED(make_room(size));
  const std::string path = path_of(kRollName);
  SPILLWAY_CHECKED(make_file(path, size));
  return begin_segment(path, size);
}

std::uint64_t ForeignStreamImpl::next_segment_bytes(std::uint64_t bytes) {
  if (!segments_.empty() && segments_.back().readable) {
    const SegmentInfo& last = segments_.back();
    const std::uint64_t begun_ns = last.header.created_boottime_ns();
    const bool same_boot = uuid_of(*last.header.boot_id()) == env_.boot_id();
    const std::uint64_t took_ns = same_boot ? env_.boottime_ns() - begun_ns : kFastFillNs;
    if (took_ns < kFastFillNs) segment_bytes_ *= 2;
    if (took_ns > kSlowFillNs) segment_bytes_ /= 2;
  }
  segment_bytes_ = std::clamp(segment_bytes_, kForeignSegmentBytesMin, options_.segment_bytes);
  // The last page is the seal's.
  return std::max(segment_bytes_, round_up(kSegmentHeaderBytes + bytes + kPageBytes, kPageBytes));
}

Result<void> ForeignStreamImpl::make_file(const std::string& path, std::uint64_t bytes) {
  while (true) {
    auto made = make_blank_segment(env_, path, bytes);
    if (made) return {};
    if (made.error().code != ErrorCode::kFull) return tl::unexpected(std::move(made).error());
    // The disk is full, whatever the quota says.
    if (options_.when_full != WhenFull::kDropOldest) {
      return tl::unexpected(std::move(made).error());
    }
    SPILLWAY_TRY(dropped, drop_oldest(format::GapReason::quota));
    if (!dropped) return tl::unexpected(std::move(made).error());
  }
}

format::SegmentHeader ForeignStreamImpl::make_header(std::uint64_t bytes) {
  format::SegmentHeader header;
  header.mutate_magic(kSegmentMagic);
  header.mutate_version(kFormatVersion);
  header.mutate_header_size(kSegmentHeaderBytes);
  header.mutate_salt(env_.random_u64());
  header.mutate_segment_sequence(next_sequence_);
  header.mutate_base_offset(next_offset_);
  header.mutate_segment_size(bytes);
  header.mutate_journal_sequence(journal_->sequence);
  header.mutate_journal_first_offset(journal_->first_offset);
  set_uuid(*header.mutable_journal(), journal_->id);
  set_uuid(*header.mutable_gateway(), options_.gateway);
  set_uuid(*header.mutable_boot_id(), env_.boot_id());
  header.mutate_created_boottime_ns(env_.boottime_ns());
  header.mutate_elapsed_ns(elapsed_ns());
  std::memcpy(header.mutable_stream()->data(), options_.stream.data(),
              std::min<std::size_t>(options_.stream.size(), header.stream()->size()));
  header.mutate_foreign(1);
  seal_segment_header(header);
  return header;
}

/// Header and name are power-safe before a block is written: any segment that is there is one.
Result<void> ForeignStreamImpl::begin_segment(const std::string& path, std::uint64_t bytes) {
  SegmentInfo info;
  info.sequence = next_sequence_;
  info.base_offset = next_offset_;
  info.bytes = bytes;
  info.inspected = true;
  info.readable = true;
  info.header = make_header(bytes);
  info.path = path_of(segment_file_name(info.sequence, info.base_offset));
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kReadWrite));
  SPILLWAY_CHECKED(file->write(0, bytes_of(info.header)));
  SPILLWAY_CHECKED(file->sync_data());
  SPILLWAY_CHECKED(env_.rename(path, info.path));
  SPILLWAY_CHECKED(env_.sync_directory(options_.directory));
  SPILLWAY_TRY(writer, SegmentWriter::open(env_, info, kSegmentHeaderBytes));
  writer->note_earlier_segments_safe();
  active_ = std::move(writer);
  segments_.push_back(info);
  held_bytes_ += bytes;
  ++next_sequence_;
  // Another journal may begin below the end of the one before.
  control_->set_next(next_offset_);
  control_->set_newest_segment(info.sequence);
  return {};
}

}  // namespace spillway::core
