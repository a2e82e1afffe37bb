#include <algorithm>

#include "core/spill/stream_impl.h"
#include "spillway/core/schema.h"

namespace spillway::core {

format::BlockHeader StreamImpl::header_of(format::BlockKind kind, std::uint64_t base_offset) {
  format::BlockHeader header;
  header.mutate_kind(static_cast<std::uint8_t>(kind));
  header.mutate_base_offset(base_offset);
  return header;
}

/// Half a segment at most; less where a record of the usual size would have no room beside it.
std::uint64_t StreamImpl::head_bytes_max() const {
  const std::uint64_t half = options_.segment_bytes / 2;
  if (options_.segment_bytes < kSegmentBytesUsable) return half;
  const std::uint64_t usual = block_bytes(frame_bytes(kRecordBytesUsual));
  return std::min(half, options_.segment_bytes - kSegmentHeaderBytes - kPageBytes - usual);
}

std::uint64_t StreamImpl::run_bytes_max() const {
  // What any new segment has room for, however many lanes its head declares.
  const std::uint64_t room = options_.segment_bytes - kSegmentHeaderBytes - kPageBytes;
  return room - head_bytes_max() - block_bytes(0);
}

/// After this a block of `stored_bytes` fits into the active segment.
Result<void> StreamImpl::make_room(std::uint64_t stored_bytes) {
  if (!faults_.failure.empty()) return failed();
  if (active_->fits(stored_bytes)) return {};
  SPILLWAY_CHECKED(sync_earlier_segments());
  // After a sync that failed the records stand in another segment by now.
  if (active_->fits(stored_bytes)) return {};
  SPILLWAY_CHECKED(roll());
  if (active_->fits(stored_bytes)) return {};
  return fail(ErrorCode::kInvalidArgument, what() + std::to_string(stored_bytes) +
                                               " bytes do not fit into one segment; at most " +
                                               std::to_string(run_bytes_max()) + " do");
}

Result<void> StreamImpl::write_lane(SegmentWriter& segment, const LanePosition& lane,
                                    std::uint64_t base_offset) {
  format::LaneDeclaration declaration;
  declaration.mutable_identity() = lane.identity;
  declaration.mutate_rejected(lane.rejected);
  declaration.mutate_closed(lane.closed ? 1 : 0);
  format::BlockHeader header = header_of(format::BlockKind::lane, base_offset);
  header.mutate_lane_id(lane.identity.lane_id());
  header.mutate_lane_end(lane.lane_end);
  return segment.write_block(header, bytes_of(declaration), draft_);
}

Result<void> StreamImpl::write_clock(SegmentWriter& segment, std::uint64_t base_offset) {
  format::ClockReading reading;
  set_uuid(*reading.mutable_boot_id(), env_.boot_id());
  reading.mutate_boottime_ns(env_.boottime_ns());
  reading.mutate_utc_ns(env_.utc_ns());
  reading.mutate_certain(env_.utc_is_certain() ? 1 : 0);
  return segment.write_block(header_of(format::BlockKind::clock, base_offset), bytes_of(reading),
                             draft_);
}

Result<void> StreamImpl::declare_lane(const format::LaneIdentity& identity, std::uint64_t lane_end,
                                      std::uint64_t rejected, bool closed) {
  SPILLWAY_CHECKED(check_lane_identity(identity));
  const bool known = lanes_.find(identity.lane_id()) != nullptr;
  constexpr std::uint64_t kStored = sizeof(format::LaneDeclaration);
  if (!known && lanes_head_bytes() + block_bytes(kStored) > head_bytes_max()) {
    return fail(ErrorCode::kFull, what() + "no room for another lane: a segment of " +
                                      std::to_string(options_.segment_bytes) + " bytes takes " +
                                      std::to_string(lanes_.all().size()) +
                                      " of them; raise segment_bytes");
  }
  if (!known) make_head_room(block_bytes(kStored));
  LanePosition declared;
  declared.identity = identity;
  declared.lane_end = lane_end;
  declared.rejected = rejected;
  declared.closed = closed;
  if (reserve_is_used_) {
    // What a lane's end says must stand in the spill, for then the lane goes.
    if (closed) SPILLWAY_CHECKED(leave_reserve());
    if (reserve_is_used_) {
      lanes_.declare(identity) = declared;
      head_is_owed_ = true;
      return {};
    }
  }
  // Room first: a roll declares every lane that is in the table, with what the table says.
  SPILLWAY_CHECKED(make_room(kStored));
  SPILLWAY_CHECKED(write_lane(*active_, declared, next_offset_));
  lanes_.declare(identity) = declared;
  return {};
}

void StreamImpl::forget_lane(std::uint64_t lane_id) {
  if (const LanePosition* lane = lanes_.find(lane_id); lane != nullptr) {
    // What stands in memory is never written again: it is copied as it is.
    if (unsynced_.front().segment->info().in_memory) return lanes_.forget(lane_id);
    departed_.push_back({*lane, next_offset_});
    departed_.back().lane.closed =
        false;  // its last block, written again behind its records, says so
  }
  lanes_.forget(lane_id);
}

/// Lanes come first: for one more of them a schema is left out of the heads, the newest first.
void StreamImpl::make_head_room(std::uint64_t bytes) {
  if (head_bytes() + bytes > head_bytes_max()) schemas_.keep_named(lanes_);
  while (!schemas_.all().empty() && head_bytes() + bytes > head_bytes_max()) {
    schemas_.forget_newest();
    ++schemas_left_out_;
  }
}

Result<void> StreamImpl::add_schema(std::uint64_t fingerprint, std::span<const std::byte> bfbs) {
  if (schemas_.contains(fingerprint)) return {};
  const std::uint64_t bytes = block_bytes(bfbs.size());
  if (head_bytes() + bytes > head_bytes_max()) schemas_.keep_named(lanes_);
  if (bfbs.size() > kSchemaBytesMax || head_bytes() + bytes > head_bytes_max()) {
    return fail(ErrorCode::kInvalidArgument,
                what() + "no room for a schema of " + std::to_string(bfbs.size()) +
                    " bytes beside " + std::to_string(lanes_.all().size()) +
                    " lanes in the head of a segment of " + std::to_string(options_.segment_bytes) +
                    " bytes; raise segment_bytes");
  }
  if (reserve_is_used_) {
    head_is_owed_ = true;
  } else {
    // Room first: a roll forgets the schemas that no lane names.
    SPILLWAY_CHECKED(make_room(bfbs.size()));
    SPILLWAY_CHECKED(write_schema(*active_, bfbs, next_offset_));
  }
  schemas_.add(fingerprint, bfbs);
  return {};
}

Result<void> StreamImpl::write_schema(SegmentWriter& segment, std::span<const std::byte> bfbs,
                                      std::uint64_t base_offset) {
  return segment.write_block(header_of(format::BlockKind::schema, base_offset), bfbs, draft_);
}

Result<void> StreamImpl::append_clock() {
  if (reserve_is_used_) {
    head_is_owed_ = true;
    return {};
  }
  SPILLWAY_CHECKED(make_room(sizeof(format::ClockReading)));
  return write_clock(*active_, next_offset_);
}

Result<Appended> StreamImpl::append(const FrameRun& run) {
  if (run.frames.size() > run_bytes_max()) {
    return fail(ErrorCode::kInvalidArgument,
                what() + "a run of " + std::to_string(run.frames.size()) + " bytes; at most " +
                    std::to_string(run_bytes_max()) + " go into one block");
  }
  LanePosition* const lane = lanes_.find(run.lane_id);
  if (lane == nullptr) {
    return fail(ErrorCode::kInvalidArgument,
                what() + "a run from a lane that was not declared: declare it first");
  }
  // What was freed meanwhile may have left the reserve already: the head is owed all the same.
  if (reserve_is_used_ || head_is_owed_) SPILLWAY_CHECKED(leave_reserve());
  if (compressor_ != nullptr && !run.pressed && compresses() &&
      Compressor::takes(run.frames.size())) {
    return append_compressed(run, *lane);
  }
  SPILLWAY_CHECKED(make_room(run.frames.size()));
  // The lane's bytes may change at any time: the copy is checked, and the copy is what counts.
  SPILLWAY_TRY(count, count_frames(draft_.stage(run.frames)));
  if (count == 0) return fail(ErrorCode::kInvalidArgument, what() + "an empty run of frames");
  format::BlockHeader header = header_of(format::BlockKind::data, next_offset_);
  header.mutate_count(count);
  return publish(run, *lane, header);
}

Result<Appended> StreamImpl::publish(const FrameRun& run, LanePosition& lane,
                                     format::BlockHeader& header) {
  header.mutate_lane_id(run.lane_id);
  header.mutate_lane_end(run.lane_end);
  header.mutate_anchor_ticks(run.anchor_ticks);
  header.mutate_anchor_boottime_ns(run.anchor_boottime_ns);
  SPILLWAY_CHECKED(active_->write(header, draft_));
  totals_.raw_bytes += run.frames.size();
  totals_.stored_bytes += draft_.staged_bytes();
  lane.lane_end = run.lane_end;
  age_.note(next_offset_, run.anchor_boottime_ns);
  const std::uint64_t first = next_offset_;
  next_offset_ += header.count();
  control_->set_next(next_offset_);
  page_->set_next(next_offset_);
  return Appended{first, next_offset_};
}

}  // namespace spillway::core
