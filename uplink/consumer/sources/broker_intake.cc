#include "uplink/consumer/sources/broker_intake.h"

#include <algorithm>

#include "spillway/core/schema.h"
#include "spillway/core/topic.h"
#include "uplink/consumer/session/stream_intake.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;
using uplink::Envelope;
using uplink::EnvelopeKind;

/// No reading is later: sums of two stay within what a database's integers hold.
constexpr std::uint64_t kTimeLimit = 1ULL << 62;
/// Chunks grow from the one to the other, so that a lone record does not take what a burst does.
constexpr std::size_t kChunkBytesMin = 16U << 10;
constexpr std::size_t kChunkBytesMax = 1U << 20;

tl::unexpected<core::Error> refused(const std::string& what) {
  return fail(ErrorCode::kProtocol, what);
}

/// An engine's messages come from anybody, and a database's TEXT takes nothing else.
bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = core::utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

bool is_name(std::string_view name, std::size_t bytes_max) {
  return name.size() <= bytes_max && uplink::printable(name) == name && is_utf8(name);
}

bool has_lane(const Envelope& envelope) {
  return envelope.kind == EnvelopeKind::kRecord || envelope.kind == EnvelopeKind::kLane;
}

bool has_offset(const Envelope& envelope) {
  return envelope.kind == EnvelopeKind::kRecord || envelope.kind == EnvelopeKind::kBlocks ||
         envelope.kind == EnvelopeKind::kGap;
}

/// What read_envelope() leaves open: whether the names and numbers may stand in an inbox.
Result<void> check(const Envelope& envelope) {
  if (envelope.gateway.is_nil()) return refused("its gateway is the nil id");
  if (envelope.journal.is_nil()) return refused("its journal is the nil id");
  if (envelope.stream.empty() || !is_name(envelope.stream, uplink::kNameBytesMax)) {
    return refused("its stream is no name of 1 to 255 printable bytes");
  }
  if (!is_name(envelope.gateway_name, BrokerIntake::kGatewayNameBytesMax)) {
    return refused("its gateway's name is too long or not printable text");
  }
  if (has_lane(envelope) && !core::is_valid_topic(envelope.topic)) {
    return refused("its topic is not a valid topic");
  }
  if (has_lane(envelope) && !is_name(envelope.producer, core::kProducerNameBytesMax)) {
    return refused("its producer's name is too long or not printable text");
  }
  if (envelope.utc_ns.value_or(0) >= kTimeLimit || envelope.boottime_ns >= kTimeLimit) {
    return refused("its time is impossible");
  }
  if (has_offset(envelope) && envelope.offset < envelope.journal_first_offset) {
    return refused("its offset " + std::to_string(envelope.offset) +
                   " is before its journal's first, " +
                   std::to_string(envelope.journal_first_offset));
  }
  return {};
}

bool is_of(const LaneLabel& label, const Envelope& envelope) {
  return label.topic == envelope.topic && label.boot_id == envelope.boot &&
         label.schema_fingerprint == envelope.schema && label.producer == envelope.producer;
}

InboxKey key_of(const Envelope& envelope) {
  return {envelope.gateway,
          envelope.journal,
          envelope.stream,
          envelope.journal_sequence,
          envelope.journal_first_offset,
          envelope.gateway_name};
}

}  // namespace

Result<Envelope> BrokerIntake::read(const uplink::HeaderLookup& header) {
  SPILLWAY_TRY(envelope, uplink::read_envelope(header));
  SPILLWAY_CHECKED(check(envelope));
  return std::move(envelope);
}

Result<void> BrokerIntake::accept(const Envelope& envelope, std::span<const std::byte> payload) {
  auto taken = [&]() -> Result<void> {
    switch (envelope.kind) {
      case EnvelopeKind::kRecord:
        return accept_record(envelope, payload);
      case EnvelopeKind::kBlocks:
        return accept_blocks(envelope, payload);
      case EnvelopeKind::kGap:
        group_of(envelope).batch.gaps.push_back(
            {envelope.offset, envelope.next_offset, envelope.reason});
        return {};
      case EnvelopeKind::kLane:
        accept_lane(envelope);
        return {};
      case EnvelopeKind::kClock:
        group_of(envelope).batch.clocks.push_back(
            {envelope.boot, envelope.boottime_ns, envelope.utc_ns.value_or(0)});
        return {};
      case EnvelopeKind::kSchema:
        return accept_schema(envelope, payload);
    }
    return refused("its kind is unknown");
  }();
  if (!taken) return taken;
  ++messages_;
  bytes_ += payload.size() + sizeof(InboxRecord);
  return {};
}

BrokerIntake::Group& BrokerIntake::group_of(const Envelope& envelope) {
  const auto [at, is_new] =
      groups_.try_emplace({envelope.gateway, envelope.journal, envelope.stream});
  if (is_new) {
    at->second.batch.key = key_of(envelope);
    at->second.batch.loose = true;
  }
  return at->second;
}

Result<void> BrokerIntake::accept_record(const Envelope& envelope,
                                         std::span<const std::byte> payload) {
  if (payload.size() > core::kRecordBytesLimit) {
    return refused("it has " + std::to_string(payload.size()) + " bytes, more than any record");
  }
  Group& group = group_of(envelope);
  InboxBatch& batch = group.batch;
  const auto label = label_of(group, envelope);
  auto complaint = judge_of(envelope).complaint(envelope.schema, payload);
  const auto kept = static_cast<std::size_t>(
      complaint ? std::min<std::uint64_t>(payload.size(), rules_.max_record_bytes)
                : payload.size());
  if (complaint) {
    batch.dead.push_back(
        {batch.records.size(), envelope.offset, payload.size(), std::move(*complaint)});
  }
  batch.records.push_back(
      {envelope.utc_ns, keep(group, payload.first(kept)), envelope.boottime_ns});
  const bool goes_on = !batch.runs.empty() && batch.runs.back().lane == label &&
                       batch.runs.back().first_offset + batch.runs.back().count == envelope.offset;
  if (goes_on) {
    ++batch.runs.back().count;
  } else {
    batch.runs.push_back({label, envelope.offset, 1});
  }
  return {};
}

std::shared_ptr<const LaneLabel> BrokerIntake::label_of(Group& group, const Envelope& envelope) {
  auto& label = group.labels[envelope.lane];
  if (label == nullptr || !is_of(*label, envelope)) {
    label = std::make_shared<const LaneLabel>(LaneLabel{
        envelope.lane, envelope.topic, envelope.producer, envelope.boot, envelope.schema});
    group.batch.lanes.push_back({label, 0, 0, false, 0});
  }
  return label;
}

void BrokerIntake::accept_lane(const Envelope& envelope) {
  Group& group = group_of(envelope);
  const auto label = label_of(group, envelope);
  group.batch.lanes.push_back({label, envelope.lane_end, envelope.rejected, envelope.closed, 0});
}

/// As one message of the native link: it explains itself, and is checked block by block.
Result<void> BrokerIntake::accept_blocks(const Envelope& envelope,
                                         std::span<const std::byte> payload) {
  if (payload.size() > uplink::kMessageBytesMax) return refused("its blocks are too many");
  const auto owner = std::make_shared<const uplink::Bytes>(payload.begin(), payload.end());
  uplink::HeldStream held;
  held.name = envelope.stream;
  held.journals.push_back({envelope.journal, envelope.journal_sequence,
                           envelope.journal_first_offset, envelope.next_offset});
  StreamIntake intake(envelope.gateway, 0, std::move(held), true, rules_);
  static_cast<void>(intake.set_position(0, StoredPosition(envelope.offset)));
  SPILLWAY_TRY(
      batch, intake.accept(uplink::Blocks{0, envelope.journal, {{envelope.salt, *owner}}}, owner));
  if (batch.next != envelope.next_offset) {
    return refused("its blocks end at offset " + std::to_string(batch.next) + " and not at " +
                   std::to_string(envelope.next_offset));
  }
  batch.key = key_of(envelope);
  batch.loose = true;
  whole_.push_back(std::move(batch));
  return {};
}

Result<void> BrokerIntake::accept_schema(const Envelope& envelope,
                                         std::span<const std::byte> payload) {
  SPILLWAY_CHECKED(core::check_schema(payload));
  if (core::schema_fingerprint(payload) != envelope.schema) {
    return refused("its schema is not the one of its fingerprint");
  }
  Group& group = group_of(envelope);
  group.batch.schemas.push_back({envelope.schema, keep(group, payload)});
  judge_of(envelope).learn(envelope.schema, payload);
  return {};
}

std::span<const std::byte> BrokerIntake::keep(Group& group, std::span<const std::byte> bytes) {
  const bool fits =
      !chunks_.empty() && chunks_.back()->capacity() - chunks_.back()->size() >= bytes.size();
  if (!fits) {
    const std::size_t usual =
        chunks_.empty() ? kChunkBytesMin : std::min(2 * chunks_.back()->capacity(), kChunkBytesMax);
    chunks_.push_back(std::make_shared<uplink::Bytes>());
    // Never beyond it, so that what points into it stays good.
    chunks_.back()->reserve(std::max(usual, bytes.size()));
  }
  uplink::Bytes& chunk = *chunks_.back();
  const std::size_t at = chunk.size();
  chunk.insert(chunk.end(), bytes.begin(), bytes.end());
  if (group.chunks.empty() || group.chunks.back() != chunks_.size() - 1) {
    group.chunks.push_back(chunks_.size() - 1);
  }
  group.batch.decoded_bytes += bytes.size();
  return std::span<const std::byte>(chunk).subspan(at);
}

/// One for all where nothing is learned.
RecordJudge& BrokerIntake::judge_of(const Envelope& envelope) {
  const StreamKey key =
      rules_.verify_schema ? StreamKey{envelope.gateway, envelope.stream} : StreamKey{};
  const auto found = judges_.find(key);
  if (found != judges_.end()) {
    judges_used_.splice(judges_used_.begin(), judges_used_, found->second.used);
    return found->second.judge;
  }
  if (judges_.size() >= kJudgesMax) {
    judges_.erase(judges_used_.back());
    judges_used_.pop_back();
  }
  judges_used_.push_front(key);
  return judges_.try_emplace(key, Judge{RecordJudge(rules_), judges_used_.begin()})
      .first->second.judge;
}

std::vector<InboxBatch> BrokerIntake::take(std::uint64_t utc_ns) {
  std::vector<InboxBatch> batches = std::exchange(whole_, {});
  batches.reserve(batches.size() + groups_.size());
  for (auto& [key, group] : groups_) {
    for (const std::size_t chunk : group.chunks) group.batch.decoded.push_back(chunks_[chunk]);
    batches.push_back(std::move(group.batch));
  }
  for (InboxBatch& batch : batches) batch.received_at_ns = utc_ns;
  groups_.clear();
  chunks_.clear();
  bytes_ = 0;
  messages_ = 0;
  return batches;
}

}  // namespace spillway::consumer
