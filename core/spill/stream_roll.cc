#include <algorithm>
#include <cstring>

#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"

namespace spillway::core {

std::uint64_t StreamImpl::head_bytes() const {
  return block_bytes(sizeof(format::ClockReading)) +
         lanes_.all().size() * block_bytes(sizeof(format::LaneDeclaration));
}

/// The next segment. Its file is there before the old one is sealed: without room nothing changes.
Result<void> StreamImpl::roll() {
  SPILLWAY_TRY(path, prepare_file(options_.segment_bytes));
  if (!active_->sealed()) active_->write_seal(next_offset_);
  if (auto synced = active_->file()->sync_data(); !synced) return sync_failed(synced.error());
  // A sync that still runs elsewhere may have been the one to be told of an error: its segment
  // waits for its answer.
  if (!sync_) unsynced_.assign(1, {active_, active_->tail(), next_offset_});
  return begin_segment(path, next_offset_);
}

/// A blank file of this size, its disk space reserved, within the quota.
Result<std::string> StreamImpl::prepare_file(std::uint64_t bytes) {
  if (spare_ == Spare::kReady && bytes == options_.segment_bytes) return path_of(kSpareName);
  const std::string path = path_of(kRollName);
  SPILLWAY_CHECKED(make_disk_room(bytes));
  while (true) {
    auto made = make_blank_segment(env_, path, bytes);
    if (made) return path;
    if (made.error().code != ErrorCode::kFull || !may_drop_oldest()) {
      return tl::unexpected(std::move(made).error());
    }
    SPILLWAY_CHECKED(drop_oldest());
  }
}

format::SegmentHeader StreamImpl::make_header(std::uint64_t base_offset, std::uint64_t bytes) {
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
  std::memcpy(header.mutable_stream()->data(), options_.name.data(),
              std::min<std::size_t>(options_.name.size(), header.stream()->size()));
  seal_segment_header(header);
  return header;
}

/// The header is written and synced under the file's old name: a segment that has its name has its
/// header.
Result<SegmentInfo> StreamImpl::write_header(const std::string& path, std::uint64_t base_offset,
                                             std::uint64_t bytes) {
  SegmentInfo info;
  info.path = path;
  info.sequence = next_sequence_;
  info.base_offset = base_offset;
  info.bytes = bytes;
  info.readable = true;
  info.header = make_header(base_offset, bytes);
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kReadWrite));
  SPILLWAY_CHECKED(file->write(0, bytes_of(info.header)));
  SPILLWAY_CHECKED(file->sync_data());
  return info;
}

Result<void> StreamImpl::name_segment(SegmentInfo& info) {
  const std::string name = path_of(segment_file_name(info.sequence, info.base_offset));
  SPILLWAY_CHECKED(env_.rename(info.path, name));
  if (info.path == path_of(kSpareName)) spare_ = Spare::kNone;
  info.path = name;
  if (auto synced = env_.sync_directory(options_.directory); !synced) {
    static_cast<void>(env_.remove(name));
    return synced;
  }
  return {};
}

void StreamImpl::write_head(SegmentWriter& segment, std::uint64_t base_offset) {
  write_clock(segment, base_offset);
  for (const LanePosition& lane : lanes_.all()) write_lane(segment, lane, base_offset);
}

Result<void> StreamImpl::begin_segment(const std::string& path, std::uint64_t base_offset) {
  SPILLWAY_TRY(info, write_header(path, base_offset, options_.segment_bytes));
  SPILLWAY_CHECKED(name_segment(info));
  SPILLWAY_TRY(segment, SegmentWriter::open(env_, info, kSegmentHeaderBytes));
  unsynced_.push_back({segment, segment->tail(), base_offset});
  write_head(*segment, base_offset);
  adopt(segment);
  while (!sync_ && unsynced_.size() > 1) unsynced_.pop_front();
  note_durable();
  return {};
}

void StreamImpl::adopt(std::shared_ptr<SegmentWriter> segment) {
  active_ = std::move(segment);
  segments_.push_back(active_->info());
  next_sequence_ = active_->info().sequence + 1;
  control_->set_newest_segment(active_->info().sequence);
}

std::optional<SpareOrder> StreamImpl::order_spare() {
  if (spare_ != Spare::kNone || !failure_.empty()) return std::nullopt;
  // At the quota the next segment takes the oldest one's room, at the roll and not before.
  if (held_bytes() + options_.segment_bytes > options_.max_bytes) return std::nullopt;
  spare_ = Spare::kBeingMade;
  return SpareOrder{&env_, path_of(kSpareName), options_.segment_bytes};
}

void StreamImpl::finish_spare(const Result<void>& outcome) {
  spare_ = outcome ? Spare::kReady : Spare::kNone;
}

Result<void> SpareOrder::run() const { return make_blank_segment(*env, path, bytes); }

}  // namespace spillway::core
