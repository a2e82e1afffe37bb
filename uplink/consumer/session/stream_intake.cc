#include "uplink/consumer/session/stream_intake.h"

#include <algorithm>
#include <cstring>

#include "spillway/core/assert.h"
#include "spillway/core/schema.h"
#include "uplink/protocol/short_form.h"

namespace spillway::consumer {

using core::Error;
using core::ErrorCode;
using core::Result;
using format::BlockKind;
using uplink::kOffsetLimit;

namespace {

/// No reading is later: sums of two stay within what a database's integers hold.
constexpr std::uint64_t kTimeLimit = 1ULL << 62;

BlockKind kind_of(const format::BlockHeader& header) {
  return static_cast<BlockKind>(header.kind());
}

}  // namespace

StreamIntake::StreamIntake(core::Uuid gateway, std::uint16_t index, uplink::HeldStream held,
                           bool zstd, RecordRules rules)
    : gateway_(gateway), index_(index), held_(std::move(held)), zstd_(zstd), judge_(rules) {}

StoredPosition StreamIntake::set_position(std::size_t journal,
                                          const std::optional<StoredPosition>& stored) {
  const core::JournalRange& range = held_.journals[journal];
  const StoredPosition from = stored.value_or(StoredPosition(range.first_offset));
  positions_[range.journal] = {from.next_offset, from.last_record, stored.has_value()};
  return from;
}

std::size_t StreamIntake::place_of(const core::Uuid& journal) const {
  // From the newest: that is where nearly every batch belongs.
  const auto found =
      std::find_if(held_.journals.rbegin(), held_.journals.rend(),
                   [&](const core::JournalRange& range) { return range.journal == journal; });
  SPILLWAY_ASSERT(found != held_.journals.rend());
  return static_cast<std::size_t>(held_.journals.rend() - found) - 1;
}

std::vector<std::uint64_t> StreamIntake::recall(MessageUnpacker& unpacker) {
  dictionaries_ = unpacker.known(gateway_, held_.name);
  return checksums_of(dictionaries_);
}

Result<void> StreamIntake::learn(const uplink::DictionaryMessage& dictionary,
                                 MessageUnpacker& unpacker) {
  auto learned = unpacker.learn(gateway_, held_.name, dictionary.bytes, dictionaries_);
  if (!learned) return tl::unexpected(broken(learned.error().code, learned.error().message));
  return {};
}

Error StreamIntake::broken(ErrorCode code, const std::string& what) const {
  return {code, "stream " + held_.name + ": " + what};
}

Result<InboxBatch> StreamIntake::begin_batch(const core::Uuid& journal) {
  const auto found = positions_.find(journal);
  if (found == positions_.end()) {
    return tl::unexpected(
        broken(ErrorCode::kProtocol, "journal " + journal.text() + " was not named in Hello"));
  }
  InboxBatch batch;
  batch.key = {gateway_, journal, held_.name};
  batch.begins = !found->second.stored;
  batch.from = found->second.next_offset;
  batch.next = batch.from;
  batch.last_record = found->second.last_record;
  batch.stream_index = index_;
  ++batch_serial_;
  return batch;
}

void StreamIntake::end_batch(InboxBatch& batch, std::uint64_t message_end) {
  positions_[batch.key.journal] = {batch.next, batch.last_record, true};
  // Never more than this session sent: the position may be ahead of a message that repeats old
  // blocks.
  if (message_end != 0) batch.ack_offset = std::min(batch.next, message_end);
}

Result<InboxBatch> StreamIntake::accept(const uplink::Blocks& blocks,
                                        std::shared_ptr<const uplink::Bytes> owner) {
  SPILLWAY_TRY(batch, begin_batch(blocks.journal));
  batch.owner = std::move(owner);
  std::uint64_t message_end = 0;
  for (const uplink::RunView& run : blocks.runs) {
    SPILLWAY_CHECKED(accept_run(run, batch, message_end));
  }
  end_batch(batch, message_end);
  return std::move(batch);
}

/// The same as whole Blocks, once it is unpacked.
Result<InboxBatch> StreamIntake::accept(const uplink::ShortBlocks& blocks,
                                        MessageUnpacker& unpacker) {
  auto content = unpacker.unpack(blocks, dictionaries_);
  if (!content) return tl::unexpected(broken(content.error().code, content.error().message));
  auto expanded = uplink::expand(*content, uplink::kShortBytesMax);
  if (!expanded) return tl::unexpected(broken(expanded.error().code, expanded.error().message));
  if (expanded->journal >= held_.journals.size()) {
    return tl::unexpected(
        broken(ErrorCode::kProtocol, "a short message of a journal that was not named in Hello"));
  }
  const auto owner = std::make_shared<const uplink::Bytes>(std::move(expanded->blocks));
  const core::Uuid& journal = held_.journals[static_cast<std::size_t>(expanded->journal)].journal;
  return accept(uplink::Blocks{blocks.stream, journal, {{0, *owner}}}, owner);
}

Result<InboxBatch> StreamIntake::accept(const uplink::GapMessage& gap) {
  SPILLWAY_TRY(batch, begin_batch(gap.journal));
  if (gap.first_offset > batch.next) {
    return tl::unexpected(
        broken(ErrorCode::kProtocol, "a gap from offset " + std::to_string(gap.first_offset) +
                                         " where " + std::to_string(batch.next) + " comes next"));
  }
  if (gap.next_offset > batch.next) {
    batch.gaps.push_back({batch.next, gap.next_offset, gap.reason});
    batch.next = gap.next_offset;
    batch.last_record = 0;
  }
  end_batch(batch, gap.next_offset);
  return std::move(batch);
}

Result<void> StreamIntake::accept_run(const uplink::RunView& run, InboxBatch& batch,
                                      std::uint64_t& message_end) {
  std::span<const std::byte> rest = run.blocks;
  while (!rest.empty()) {
    format::BlockHeader header;
    if (rest.size() < sizeof(header)) {
      return tl::unexpected(broken(ErrorCode::kProtocol, "a message ends inside a block header"));
    }
    std::memcpy(&header, rest.data(), sizeof(header));
    rest = rest.subspan(sizeof(header));
    if (header.stored_size() > rest.size()) {
      return tl::unexpected(broken(ErrorCode::kProtocol, "a message ends inside a block"));
    }
    const auto stored = rest.first(header.stored_size());
    rest = rest.subspan(stored.size());
    auto sound = core::check_block(header, stored, run.salt, header.base_offset());
    if (!sound)
      return tl::unexpected(
          broken(ErrorCode::kCorrupt, "a damaged block: " + sound.error().message));
    SPILLWAY_CHECKED(accept_block(header, stored, batch));
    if (kind_of(header) == BlockKind::data) {
      message_end = std::max(message_end, header.base_offset() + header.count());
    }
  }
  return {};
}

Result<void> StreamIntake::accept_block(const format::BlockHeader& header,
                                        std::span<const std::byte> stored, InboxBatch& batch) {
  if (core::is_compressed(header) && !zstd_) {
    return tl::unexpected(
        broken(ErrorCode::kProtocol, "a compressed block, which this session's Welcome rules out"));
  }
  if (header.base_offset() >= kOffsetLimit) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "a block with an impossible offset"));
  }
  switch (kind_of(header)) {
    case BlockKind::data:
      return accept_data(header, stored, batch);
    case BlockKind::lane:
      SPILLWAY_CHECKED(accept_lane(header, stored, batch));
      break;
    case BlockKind::clock:
      SPILLWAY_CHECKED(accept_clock(header, stored, batch));
      break;
    case BlockKind::schema:
      accept_schema(stored, batch);
      if (!core::check_schema(stored)) return {};
      break;
    case BlockKind::dictionary:
      if (auto learned = decoder_.learn(stored); !learned) {
        return tl::unexpected(broken(ErrorCode::kProtocol, learned.error().message));
      }
      break;
    default:
      return {};
  }
  if (keeps_blocks_) batch.blocks.push_back({header, stored});
  return {};
}

Result<void> StreamIntake::accept_data(const format::BlockHeader& header,
                                       std::span<const std::byte> stored, InboxBatch& batch) {
  const std::uint64_t base = header.base_offset();
  if (base > batch.next) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "a block at offset " + std::to_string(base) +
                                                           " where " + std::to_string(batch.next) +
                                                           " comes next"));
  }
  const std::uint64_t end = base + header.count();
  if (end <= batch.next) return {};
  const auto found = lanes_.find(header.lane_id());
  if (found == lanes_.end()) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "records of a lane that was not declared"));
  }
  Lane& lane = found->second;
  SPILLWAY_TRY(bytes, frames_of(header, stored, batch));
  if (keeps_blocks_) return keep_data(header, stored, bytes, batch);
  core::FrameCursor frames(bytes);
  core::FrameView frame;
  for (std::uint64_t offset = base; frames.next(frame); ++offset) {
    if (offset < batch.next) continue;
    const core::ProducedAt produced = clock_.produced_at(header, frame.ticks);
    // Better no time than one in 1970: it gets its true one when the gateway's clock has been set.
    const auto known = produced.certain ? std::optional(produced.utc_ns) : std::nullopt;
    batch.records.push_back({known, frame.record, std::min(produced.boottime_ns, kTimeLimit)});
    judge(*lane.label, offset, batch);
  }
  batch.last_record = core::record_checksum(end - 1, frame.ticks, frame.record);
  const auto count = static_cast<std::uint32_t>(end - batch.next);
  batch.runs.push_back({lane.label, batch.next, count});
  batch.next = end;
  LaneTotals& totals = totals_of(lane, batch);
  totals.records += count;
  totals.lane_end = std::max(totals.lane_end, header.lane_end());
  return {};
}

/// As it came, but one that straddles the next offset: of that the frames from there on.
Result<void> StreamIntake::keep_data(const format::BlockHeader& header,
                                     std::span<const std::byte> stored,
                                     std::span<const std::byte> frames, InboxBatch& batch) {
  const std::uint64_t end = header.base_offset() + header.count();
  batch.last_record = 0;  // a relay keeps no note of it
  if (header.base_offset() == batch.next) {
    batch.blocks.push_back({header, stored});
    batch.next = end;
    return {};
  }
  std::size_t at = 0;
  core::FrameCursor cursor(frames);
  core::FrameView frame;
  for (std::uint64_t offset = header.base_offset(); offset < batch.next; ++offset) {
    if (!cursor.next(frame)) break;
    at += core::frame_bytes(frame.record.size());
  }
  const auto rest = frames.subspan(at);
  format::BlockHeader cut = header;
  cut.mutate_base_offset(batch.next);
  cut.mutate_count(static_cast<std::uint32_t>(end - batch.next));
  cut.mutate_codec(static_cast<std::uint8_t>(format::Codec::none));
  cut.mutate_stored_size(static_cast<std::uint32_t>(rest.size()));
  cut.mutate_raw_size(cut.stored_size());
  batch.blocks.push_back({cut, rest});
  batch.next = end;
  return {};
}

Result<std::span<const std::byte>> StreamIntake::frames_of(const format::BlockHeader& header,
                                                           std::span<const std::byte> stored,
                                                           InboxBatch& batch) {
  if (!core::is_compressed(header)) return stored;
  batch.decoded_bytes += header.raw_size();
  if (batch.decoded_bytes > uplink::kDecodedBytesPerMessageMax) {
    return tl::unexpected(broken(
        ErrorCode::kProtocol, "a message whose compressed blocks decode to more than " +
                                  std::to_string(uplink::kDecodedBytesPerMessageMax) + " bytes"));
  }
  auto frames = std::make_shared<uplink::Bytes>(header.raw_size());
  if (auto decoded = decoder_.decode(header, stored, *frames); !decoded) {
    return tl::unexpected(broken(ErrorCode::kProtocol, decoded.error().message));
  }
  batch.decoded.push_back(frames);
  return std::span<const std::byte>(*frames);
}

Result<void> StreamIntake::accept_lane(const format::BlockHeader& header,
                                       std::span<const std::byte> stored, InboxBatch& batch) {
  format::LaneDeclaration declaration;
  if (stored.size() != sizeof(declaration)) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "a lane block of the wrong size"));
  }
  std::memcpy(&declaration, stored.data(), sizeof(declaration));
  const format::LaneIdentity& identity = declaration.identity();
  auto sound = core::check_lane_identity(identity);
  if (!sound)
    return tl::unexpected(
        broken(ErrorCode::kProtocol, "a bad lane block: " + sound.error().message));
  if (identity.lane_id() != header.lane_id()) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "a lane block under another lane's id"));
  }
  if (lanes_.size() >= kLanesPerSessionMax && !lanes_.contains(identity.lane_id())) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "more lanes than a session may declare"));
  }
  Lane& lane = lanes_[identity.lane_id()];
  if (lane.label == nullptr) {
    lane.label = std::make_shared<const LaneLabel>(
        LaneLabel{identity.lane_id(), std::string(core::topic_of(identity)),
                  std::string(core::producer_of(identity)), core::uuid_of(*identity.boot_id()),
                  identity.schema_fingerprint()});
    clock_.learn_lane(identity);
  }
  LaneTotals& totals = totals_of(lane, batch);
  totals.lane_end = std::max(totals.lane_end, header.lane_end());
  totals.rejected = std::max(totals.rejected, declaration.rejected());
  totals.closed = totals.closed || declaration.closed() == 1;
  // Drained to its end: no record of it can follow, and a session outlives many producers.
  if (declaration.closed() == 1) {
    lanes_.erase(identity.lane_id());
    clock_.forget_lane(identity.lane_id());
  }
  return {};
}

Result<void> StreamIntake::accept_clock(const format::BlockHeader& header,
                                        std::span<const std::byte> stored, InboxBatch& batch) {
  format::ClockReading reading;
  if (stored.size() != sizeof(reading)) {
    return tl::unexpected(broken(ErrorCode::kProtocol, "a clock block of the wrong size"));
  }
  std::memcpy(&reading, stored.data(), sizeof(reading));
  bool& certain = boots_[core::uuid_of(*reading.boot_id())];
  if (boots_.size() > kBootsPerSessionMax) {
    return tl::unexpected(
        broken(ErrorCode::kProtocol, "clock readings of more boots than a session may tell"));
  }
  clock_.learn(header, stored);
  // The first of a session is enough: what comes after it has its time.
  const bool possible = reading.utc_ns() < kTimeLimit && reading.boottime_ns() < kTimeLimit;
  if (certain || reading.certain() == 0 || !possible) return {};
  certain = true;
  batch.clocks.push_back(
      {core::uuid_of(*reading.boot_id()), reading.boottime_ns(), reading.utc_ns()});
  return {};
}

/// A schema is never a reason to refuse records: what is none, or one too many, is left out.
void StreamIntake::accept_schema(std::span<const std::byte> stored, InboxBatch& batch) {
  if (stored.size() > core::kSchemaBytesMax || schemas_.size() >= kSchemasPerSessionMax) return;
  const std::uint64_t fingerprint = core::schema_fingerprint(stored);
  // Each segment repeats them.
  if (!schemas_.insert(fingerprint).second) return;
  if (!core::check_schema(stored)) return;
  batch.schemas.push_back({fingerprint, stored});
  judge_.learn(fingerprint, stored);
}

void StreamIntake::judge(const LaneLabel& lane, std::uint64_t offset, InboxBatch& batch) {
  InboxRecord& record = batch.records.back();
  auto reason = judge_.complaint(lane.schema_fingerprint, record.payload);
  if (!reason) return;
  batch.dead.push_back(
      {batch.records.size() - 1, offset, record.payload.size(), std::move(*reason)});
  const std::uint64_t kept =
      std::min<std::uint64_t>(record.payload.size(), judge_.rules().max_record_bytes);
  record.payload = record.payload.first(static_cast<std::size_t>(kept));
}

LaneTotals& StreamIntake::totals_of(Lane& lane, InboxBatch& batch) {
  if (lane.batch != batch_serial_) {
    lane.batch = batch_serial_;
    lane.totals_index = batch.lanes.size();
    batch.lanes.push_back({lane.label, 0, 0, false, 0});
  }
  return batch.lanes[lane.totals_index];
}

}  // namespace spillway::consumer
