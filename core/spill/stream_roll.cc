#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"

namespace spillway::core {

namespace {

/// A file that was never a segment is blank.
Result<bool> was_segment(const env::File& file) {
  std::uint64_t magic = 0;
  SPILLWAY_CHECKED(file.read(0, writable_bytes_of(magic)));
  return magic != 0;
}

}  // namespace

std::uint64_t StreamImpl::lanes_head_bytes() const {
  return block_bytes(sizeof(format::ClockReading)) +
         lanes_.all().size() * block_bytes(sizeof(format::LaneDeclaration));
}

std::uint64_t StreamImpl::head_bytes() const {
  return lanes_head_bytes() + schemas_.block_bytes_total();
}

/// The next segment. Its file is there before the old one is sealed: without room nothing changes.
/// Nothing here waits for the disk: what is new becomes power-safe with the next group commit.
Result<void> StreamImpl::roll() {
  SPILLWAY_TRY(path, prepare_next());
  return roll_into(path);
}

Result<void> StreamImpl::roll_into(const std::string& path) {
  SPILLWAY_TRY(info, write_header(path, next_offset_, options_.segment_bytes));
  if (!active_->sealed()) SPILLWAY_CHECKED(active_->write_seal(next_offset_, draft_));
  SPILLWAY_CHECKED(name_segment(info));
  return begin_segment(info);
}

/// A file of this size, blank or recycled, its space reserved, within the quota.
Result<std::string> StreamImpl::prepare_file(std::uint64_t bytes, bool in_memory, Use use) {
  const std::string path = path_of(kRollName, in_memory);
  // One that stands in the other place is of no use.
  if (has_spare() && spare_in_memory_ != in_memory) SPILLWAY_CHECKED(discard_spare());
  SPILLWAY_CHECKED(make_disk_room(bytes, in_memory, use));
  while (!has_spare(bytes, in_memory)) {
    auto made = make_blank_segment(env_, path, bytes);
    if (!in_memory) note_disk_full(!made && made.error().code == ErrorCode::kFull);
    if (made) return path;
    if (made.error().code != ErrorCode::kFull) return tl::unexpected(std::move(made).error());
    SPILLWAY_TRY(given, give_back(in_memory));
    if (!given) return tl::unexpected(std::move(made).error());
  }
  return spare_path();
}

void StreamImpl::note_disk_full(bool full) {
  if (full && !faults_.disk_full) ++faults_.disk_full_events;
  faults_.disk_full = full;
}

/// A spare of the wrong size holds the room that another file needs.
Result<void> StreamImpl::discard_spare() {
  SPILLWAY_CHECKED(env_.remove(spare_path()));
  spare_ = Spare::kNone;
  return env_.sync_directory(folder_of(spare_path()));
}

format::SegmentHeader StreamImpl::make_header(std::uint64_t base_offset, std::uint64_t bytes,
                                              bool recycled) {
  format::SegmentHeader header;
  header.mutate_magic(kSegmentMagic);
  header.mutate_version(kFormatVersion);
  header.mutate_header_size(kSegmentHeaderBytes);
  header.mutate_salt(env_.random_u64());
  header.mutate_segment_sequence(next_sequence_);
  header.mutate_base_offset(base_offset);
  header.mutate_segment_size(bytes);
  header.mutate_journal_sequence(journal_.sequence);
  header.mutate_journal_first_offset(journal_.first_offset);
  set_uuid(*header.mutable_journal(), journal_.id);
  set_uuid(*header.mutable_gateway(), options_.gateway);
  set_uuid(*header.mutable_boot_id(), env_.boot_id());
  header.mutate_created_boottime_ns(env_.boottime_ns());
  header.mutate_elapsed_ns(age_.at(header.created_boottime_ns()));
  std::memcpy(header.mutable_stream()->data(), options_.name.data(),
              std::min<std::size_t>(options_.name.size(), header.stream()->size()));
  header.mutate_recycled(recycled ? 1 : 0);
  seal_segment_header(header);
  return header;
}

/// The header is written under the file's old name: no other process sees a segment without one. In
/// a recycled file the place of the head and the page behind it are blanked, so that a
/// segment into which no record came can be told from one whose records were torn.
Result<SegmentInfo> StreamImpl::write_header(const std::string& path, std::uint64_t base_offset,
                                             std::uint64_t bytes) {
  SegmentInfo info;
  info.path = path;
  info.sequence = next_sequence_;
  info.base_offset = base_offset;
  info.bytes = bytes;
  info.inspected = true;
  info.readable = true;
  info.in_memory = !memory_.empty() && folder_of(path) == memory_;
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kReadWrite));
  SPILLWAY_TRY(recycled, was_segment(*file));
  info.header = make_header(base_offset, bytes, recycled);
  std::vector<std::byte> head(sizeof(info.header));
  if (recycled) {
    const auto kept = round_up(kSegmentHeaderBytes + head_bytes(), kPageBytes) + kPageBytes;
    head.resize(static_cast<std::size_t>(kept));
  }
  std::memcpy(head.data(), &info.header, sizeof(info.header));
  SPILLWAY_CHECKED(file->write(0, head));
  return info;
}

Result<void> StreamImpl::name_segment(SegmentInfo& info) {
  const std::string name =
      path_of(segment_file_name(info.sequence, info.base_offset), info.in_memory);
  SPILLWAY_CHECKED(env_.rename(info.path, name));
  if (info.path == spare_path()) spare_ = Spare::kNone;
  info.path = name;
  // Whatever becomes of it, no other segment may ever stand under its number.
  next_sequence_ = info.sequence + 1;
  return {};
}

Result<void> StreamImpl::name_segment_safely(SegmentInfo& info) {
  SPILLWAY_CHECKED(name_segment(info));
  if (auto synced = env_.sync_directory(folder_of(info.path)); !synced) {
    static_cast<void>(env_.remove(info.path));
    return synced;
  }
  return {};
}

Result<void> StreamImpl::write_head(SegmentWriter& segment, std::uint64_t base_offset) {
  SPILLWAY_CHECKED(write_clock(segment, base_offset));
  for (const LanePosition& lane : lanes_.all()) {
    SPILLWAY_CHECKED(write_lane(segment, lane, base_offset));
  }
  schemas_.keep_named(lanes_);
  for (const KnownSchema& schema : schemas_.all()) {
    SPILLWAY_CHECKED(write_schema(segment, schema.bfbs, base_offset));
  }
  return {};
}

Result<void> StreamImpl::write_departed(SegmentWriter& segment, std::uint64_t base_offset) {
  for (const Departed& departed : departed_) {
    SPILLWAY_CHECKED(write_lane(segment, departed.lane, base_offset));
  }
  return {};
}

Result<void> StreamImpl::begin_segment(const SegmentInfo& info) {
  auto begun = begin_named_segment(info);
  // It has its name, but nothing will ever stand in it: if it cannot be removed now, it is freed with
  // the others.
  if (!begun && !env_.remove(info.path)) segments_.push_back(info);
  return begun;
}

Result<void> StreamImpl::begin_named_segment(const SegmentInfo& info) {
  SPILLWAY_TRY(segment, SegmentWriter::open(env_, info, kSegmentHeaderBytes));
  const std::uint64_t begin = segment->tail();
  SPILLWAY_CHECKED(write_head(*segment, info.base_offset));
  // What stood in memory alone waits for its move, and for no sync.
  const bool from_memory = unsynced_.size() == 1 && unsynced_.front().segment->info().in_memory;
  if (from_memory) unsynced_.clear();
  unsynced_.push_back({segment, begin, info.base_offset, false});
  adopt(std::move(segment));
  if (from_memory) note_durable();
  return {};
}

/// A journal's first segment: it is power-safe before anything can be shipped under the journal, or
/// its number might be given a second time. So is its head: a segment into which no record comes is
/// then always known for one.
Result<void> StreamImpl::begin_journal_segment(const std::string& path, JournalReason reason) {
  SPILLWAY_TRY(info, write_header(path, journal_.first_offset, options_.segment_bytes));
  SPILLWAY_TRY(draft, SegmentWriter::open(env_, info, kSegmentHeaderBytes));
  draft->note_earlier_segments_safe();
  SPILLWAY_CHECKED(write_head(*draft, info.base_offset));
  SPILLWAY_CHECKED(draft->file()->sync_data());
  SPILLWAY_CHECKED(name_segment_safely(info));
  auto segment = SegmentWriter::open(env_, info, round_up(draft->tail(), kPageBytes));
  if (!segment) {
    if (!env_.remove(info.path)) segments_.push_back(info);
    return tl::unexpected(std::move(segment).error());
  }
  adopt(std::move(*segment));
  active_->note_earlier_segments_safe();
  unsynced_.assign(1, {active_, active_->tail(), info.base_offset, true});
  ++faults_.journals[static_cast<std::size_t>(reason)];
  note_durable();
  return {};
}

void StreamImpl::adopt(std::shared_ptr<SegmentWriter> segment) {
  active_ = std::move(segment);
  segments_.push_back(active_->info());
  note_reserve();
  head_is_owed_ = false;
  moving_ = moving_ || (to_disk_ && is_active_in_memory());
  control_->set_newest_segment(active_->info().sequence);
}

std::optional<SpareOrder> StreamImpl::order_spare() {
  if (spare_order_is_out_ || !faults_.failure.empty()) return std::nullopt;
  const auto order = [this](SpareOrder::Work work, const std::string& path) {
    spare_order_is_out_ = true;
    return SpareOrder{&env_, work, path, options_.segment_bytes};
  };
  if (spare_ == Spare::kCold) {
    spare_ = Spare::kReady;
    return order(SpareOrder::Work::kWarm, spare_path());
  }
  if (spare_ != Spare::kNone) return std::nullopt;
  if (held_bytes() + options_.segment_bytes <= options_.max_bytes) {
    spare_ = Spare::kBeingMade;
    spare_in_memory_ = !to_disk_;
    return order(SpareOrder::Work::kMake, spare_path());
  }
  // At the quota the next segment takes the oldest one's file, at the roll and not before.
  const SegmentInfo& oldest = segments_.front();
  if (!may_drop_oldest() || warmed_sequence_ == oldest.sequence || !active_->is_half_full()) {
    return std::nullopt;
  }
  warmed_sequence_ = oldest.sequence;
  return order(SpareOrder::Work::kWarm, oldest.path);
}

void StreamImpl::finish_spare(const SpareOrder& order, const Result<void>& outcome) {
  spare_order_is_out_ = false;
  if (order.work != SpareOrder::Work::kMake) return;
  spare_ = outcome ? Spare::kReady : Spare::kNone;
  if (spare_in_memory_) return;
  note_disk_full(!outcome && outcome.error().code == ErrorCode::kFull);
}

Result<void> SpareOrder::run() const {
  if (work == Work::kWarm) {
    warm_file(*env, path);
    return {};
  }
  // Synced here, the file's extents are no burden on the first group commit that needs them.
  SPILLWAY_TRY(file, make_blank_segment(*env, path, bytes));
  return file->sync_data();
}

}  // namespace spillway::core
