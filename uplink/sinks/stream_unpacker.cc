#include "uplink/sinks/stream_unpacker.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "spillway/core/schema.h"
#include "uplink/protocol/messages.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;
using format::BlockKind;

/// No reading is later: sums of two stay within what a database's integers hold.
constexpr std::uint64_t kTimeLimit = 1ULL << 62;

BlockKind kind_of(const core::Block& block) { return static_cast<BlockKind>(block.header.kind()); }

core::CursorPosition position_in(const core::JournalRange& range, std::uint64_t next_offset) {
  return {range.journal, range.sequence, next_offset};
}

}  // namespace

StreamUnpacker::StreamUnpacker(BlockSource& source, const Origin& self, Form form)
    : source_(source), origin_(source.origin() != nullptr ? *source.origin() : self), form_(form) {
  tell(EnvelopeKind::kRecord);
  ready_ = false;
}

// --- where it begins ---

/// Of a foreign stream each journal is for itself: the next one may begin below the end of the one
/// before.
std::uint64_t StreamUnpacker::end_of(std::size_t range) const {
  const bool last = range + 1 == ranges_.size();
  return last || is_foreign() ? ranges_[range].next_offset : ranges_[range + 1].first_offset;
}

Result<void> StreamUnpacker::begin() {
  SPILLWAY_TRY(ranges, source_.journals());
  ranges_ = std::move(ranges);
  source_.offer_stored(false);
  if (ranges_.empty()) {
    SPILLWAY_TRY(oldest, source_.oldest_offset());
    position_ = oldest;
    return source_.seek(oldest);
  }
  const auto& cursor = source_.cursor();
  std::size_t at = 0;
  std::uint64_t start = ranges_.front().first_offset;
  if (cursor) {
    while (at < ranges_.size() && ranges_[at].sequence < cursor->journal_sequence) ++at;
    const bool held = at < ranges_.size() && ranges_[at].journal == cursor->journal;
    const bool beyond = held && cursor->next_offset > end_of(at) && at + 1 == ranges_.size();
    if (at == ranges_.size() || beyond) {
      return fail(
          ErrorCode::kUnavailable,
          "stream " + source_.name() + " ends before offset " +
              std::to_string(cursor->next_offset) +
              ", up to which it was delivered: the agent begins a new journal at its start; "
              "if the spill was restored, restart the agent");
    }
    start = held ? cursor->next_offset : ranges_[at].first_offset;
    if (held && start >= end_of(at) && at + 1 < ranges_.size()) start = ranges_[++at].first_offset;
  }
  reading_ = ranges_[at].journal;
  position_ = start;
  return source_.seek_in(ranges_[at].sequence, start);
}

// --- what comes next ---

Result<bool> StreamUnpacker::front() {
  while (!ready_) {
    if (gap_) {
      tell_gap();
    } else if (run_ && form_ == Form::kBlocks) {
      tell_block();
    } else if (run_) {
      tell_record();
    } else {
      SPILLWAY_TRY(item, source_.next());
      if (!item) return false;
      SPILLWAY_CHECKED(take(*item));
    }
  }
  return true;
}

/// Nothing of the message before stays in it.
void StreamUnpacker::tell(EnvelopeKind kind, std::span<const std::byte> payload) {
  const core::JournalRange journal{envelope_.journal, envelope_.journal_sequence,
                                   envelope_.journal_first_offset, 0};
  envelope_ = Envelope{};
  envelope_.kind = kind;
  envelope_.gateway = origin_.gateway;
  envelope_.gateway_name = origin_.gateway_name;
  envelope_.stream = source_.name();
  name_journal(journal, envelope_);
  payload_ = payload;
  behind_.reset();
  ready_ = true;
}

Result<void> StreamUnpacker::take(const core::StreamItem& item) {
  if (const auto* block = std::get_if<core::Block>(&item)) return take_block(*block);
  core::Gap gap = std::get<core::Gap>(item);
  if (is_foreign()) {
    if (find(gap.journal) == nullptr) {
      SPILLWAY_TRY(ranges, source_.journals());
      ranges_ = std::move(ranges);
    }
    if (const auto* range = find(gap.journal)) enter(*range);
  }
  if (gap.next_offset <= position_) return {};
  gap.first_offset = std::max(gap.first_offset, position_);
  gap_ = gap;
  return {};
}

const core::JournalRange* StreamUnpacker::find(const core::Uuid& journal) const {
  // From the newest: that is where nearly every block belongs.
  const auto found = std::find_if(ranges_.rbegin(), ranges_.rend(),
                                  [&](const auto& range) { return range.journal == journal; });
  return found == ranges_.rend() ? nullptr : &*found;
}

Result<const core::JournalRange*> StreamUnpacker::range_of(const core::Block& block) {
  if (const auto* known = find(block.journal)) return known;
  SPILLWAY_TRY(ranges, source_.journals());
  ranges_ = std::move(ranges);
  if (const auto* known = find(block.journal)) return known;
  // Freed since it was read: what the block says of it has to do.
  ranges_.push_back({block.journal, block.journal_sequence, block.header.base_offset(),
                     block.header.base_offset()});
  return &ranges_.back();
}

/// Only ever a later one: blocks and gaps come in the journals' order.
void StreamUnpacker::enter(const core::JournalRange& range) {
  if (range.journal == reading_) return;
  reading_ = range.journal;
  position_ = range.first_offset;
}

void StreamUnpacker::name_journal(const core::JournalRange& range, Envelope& envelope) const {
  envelope.journal = range.journal;
  envelope.journal_sequence = range.sequence;
  envelope.journal_first_offset = range.first_offset;
}

Result<void> StreamUnpacker::take_block(const core::Block& block) {
  SPILLWAY_TRY(range, range_of(block));
  name_journal(*range, envelope_);
  switch (kind_of(block)) {
    case BlockKind::data:
      enter(*range);
      take_data(block);
      break;
    case BlockKind::lane:
      return take_lane(block);
    case BlockKind::clock:
      return take_clock(block);
    case BlockKind::schema:
      take_schema(block);
      break;
    default:
      break;
  }
  return {};
}

void StreamUnpacker::take_data(const core::Block& block) {
  const std::uint64_t base = block.header.base_offset();
  const std::uint64_t end = base + block.header.count();
  if (end <= position_) return;
  const auto lane = lanes_.find(block.header.lane_id());
  if (lane == lanes_.end()) {
    gap_ = core::Gap{position_, end, format::GapReason::damage, 0, block.journal};
    return;
  }
  if (base > position_)
    gap_ = core::Gap{position_, base, format::GapReason::none, 0, block.journal};
  run_.emplace(Run{block.header, core::FrameCursor(block.stored), base, *find(block.journal),
                   &lane->second, block.salt});
  if (form_ == Form::kBlocks) bundle_.make(block, lane->second.boot);
}

/// All that its records have in common: once, for the time is theirs.
void StreamUnpacker::name_run() {
  tell(EnvelopeKind::kRecord);
  name_journal(run_->journal, envelope_);
  name_lane(run_->header.lane_id(), *run_->lane);
  run_->named = true;
}

void StreamUnpacker::tell_record() {
  core::FrameView frame;
  while (run_->frames.next(frame)) {
    // In their order, and also of those that were told before: the lane's clock wants it so.
    const core::ProducedAt at = clock_.produced_at(run_->header, frame.ticks);
    const std::uint64_t offset = run_->next++;
    if (offset < position_) continue;
    if (!run_->named) name_run();
    payload_ = frame.record;
    ready_ = true;
    envelope_.offset = offset;
    // Better no time than one in 1970: it gets its true one when the gateway's clock has been set.
    envelope_.utc_ns = at.certain ? std::optional(at.utc_ns) : std::nullopt;
    envelope_.boottime_ns = std::min(at.boottime_ns, kTimeLimit);
    position_ = offset + 1;
    behind_ = core::CursorPosition{envelope_.journal, envelope_.journal_sequence, position_};
    return;
  }
  run_.reset();
}

/// As it stands in the spill: taking its records out is the reader's.
void StreamUnpacker::tell_block() {
  const format::BlockHeader& header = run_->header;
  tell(EnvelopeKind::kBlocks, bundle_.bytes());
  name_journal(run_->journal, envelope_);
  name_lane(header.lane_id(), *run_->lane);
  envelope_.offset = std::max<std::uint64_t>(header.base_offset(), position_);
  envelope_.next_offset = header.base_offset() + header.count();
  envelope_.salt = run_->salt;
  position_ = envelope_.next_offset;
  behind_ = core::CursorPosition{envelope_.journal, envelope_.journal_sequence, position_};
  run_.reset();
}

std::uint64_t StreamUnpacker::records() const {
  if (envelope_.kind == EnvelopeKind::kRecord) return 1;
  return envelope_.kind == EnvelopeKind::kBlocks ? envelope_.next_offset - envelope_.offset : 0;
}

/// One message a journal: a gap that reaches over a journal's end is told in parts.
void StreamUnpacker::tell_gap() {
  if (ranges_.empty()) {  // nothing can be told before a journal is known
    position_ = gap_->next_offset;
    gap_.reset();
    return;
  }
  std::size_t at = ranges_.size() - 1;
  const bool told = is_foreign() && find(gap_->journal) != nullptr;
  const auto belongs = [&](const core::JournalRange& range) {
    return told ? range.journal == gap_->journal : range.first_offset <= gap_->first_offset;
  };
  while (at > 0 && !belongs(ranges_[at])) --at;
  const bool newest = told || at + 1 == ranges_.size();
  const std::uint64_t end = newest ? std::numeric_limits<std::uint64_t>::max() : end_of(at);
  const std::uint64_t next = std::min(gap_->next_offset, end);
  tell(EnvelopeKind::kGap);
  name_journal(ranges_[at], envelope_);
  envelope_.offset = gap_->first_offset;
  envelope_.next_offset = next;
  envelope_.reason = static_cast<std::uint8_t>(gap_->reason);
  behind_ = position_in(ranges_[at], next);
  reading_ = ranges_[at].journal;
  position_ = next;
  gap_->first_offset = next;
  if (gap_->first_offset >= gap_->next_offset) gap_.reset();
}

Envelope StreamUnpacker::refused_gap(const core::CursorPosition& behind,
                                     std::uint64_t records) const {
  Envelope gap;
  gap.kind = EnvelopeKind::kGap;
  gap.gateway = origin_.gateway;
  gap.gateway_name = origin_.gateway_name;
  gap.stream = source_.name();
  const auto* range = find(behind.journal);
  name_journal(
      range != nullptr ? *range : core::JournalRange{behind.journal, behind.journal_sequence, 0, 0},
      gap);
  gap.offset = behind.next_offset - records;
  gap.next_offset = behind.next_offset;
  gap.reason = static_cast<std::uint8_t>(format::GapReason::refused);
  return gap;
}

// --- what explains records ---

void StreamUnpacker::name_lane(std::uint64_t id, const Lane& lane) {
  envelope_.lane = id;
  envelope_.topic = lane.topic;
  envelope_.producer = lane.producer;
  envelope_.boot = lane.boot;
  envelope_.schema = lane.schema;
}

Result<void> StreamUnpacker::take_lane(const core::Block& block) {
  format::LaneDeclaration declaration;
  if (block.stored.size() != sizeof(declaration)) return {};
  std::memcpy(&declaration, block.stored.data(), sizeof(declaration));
  const format::LaneIdentity& identity = declaration.identity();
  if (!core::check_lane_identity(identity)) return {};
  const std::uint64_t id = block.header.lane_id();
  if (lanes_.size() >= kLanesMax && !lanes_.contains(id)) {
    return fail(ErrorCode::kUnavailable, "stream " + source_.name() + " has named more than " +
                                             std::to_string(kLanesMax) +
                                             " lanes in one session: it begins anew");
  }
  Lane& lane = lanes_[id];
  if (!lane.told) {
    lane = {std::string(core::topic_of(identity)),
            std::string(core::producer_of(identity)),
            core::uuid_of(*identity.boot_id()),
            identity.schema_fingerprint(),
            {}};
    clock_.learn_lane(identity);
  }
  if (form_ == Form::kBlocks) bundle_.learn_lane(block);
  const Totals totals{block.header.lane_end(), declaration.rejected(), declaration.closed() == 1};
  if (lane.told != totals) {
    tell(EnvelopeKind::kLane);
    name_lane(id, lane);
    envelope_.lane_end = totals.lane_end;
    envelope_.rejected = totals.rejected;
    envelope_.closed = totals.closed;
    lane.told = totals;
  }
  // Drained to its end: no record of it can follow, and a session outlives many producers.
  if (totals.closed) {
    lanes_.erase(id);
    clock_.forget_lane(id);
    bundle_.forget_lane(id);
  }
  return {};
}

Result<void> StreamUnpacker::take_clock(const core::Block& block) {
  format::ClockReading reading;
  if (block.stored.size() != sizeof(reading)) return {};
  std::memcpy(&reading, block.stored.data(), sizeof(reading));
  const core::Uuid boot = core::uuid_of(*reading.boot_id());
  if (boots_.size() >= kBootsMax && !boots_.contains(boot)) {
    return fail(ErrorCode::kUnavailable,
                "stream " + source_.name() + " has told the clocks of more than " +
                    std::to_string(kBootsMax) + " boots in one session: it begins anew");
  }
  bool& told = boots_[boot];
  clock_.learn_reading(reading);
  if (form_ == Form::kBlocks) bundle_.learn_clock(boot, block);
  // The first of a session is enough: what comes after it has its time.
  const bool possible = reading.utc_ns() < kTimeLimit && reading.boottime_ns() < kTimeLimit;
  if (told || reading.certain() == 0 || !possible) return {};
  told = true;
  tell(EnvelopeKind::kClock);
  envelope_.boot = boot;
  envelope_.utc_ns = reading.utc_ns();
  envelope_.boottime_ns = reading.boottime_ns();
  return {};
}

void StreamUnpacker::take_schema(const core::Block& block) {
  if (schemas_.size() >= kSchemasMax || !core::check_schema(block.stored)) return;
  const std::uint64_t fingerprint = core::schema_fingerprint(block.stored);
  if (!schemas_.insert(fingerprint).second) return;
  tell(EnvelopeKind::kSchema, block.stored);
  envelope_.schema = fingerprint;
}

}  // namespace spillway::uplink
