#include "uplink/session/stream_pump.h"

#include <algorithm>
#include <limits>

#include "spillway/core/format.h"
#include "uplink/session/block_part.h"
#include "uplink/session/last_record.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;
using format::BlockKind;

/// What stands around a message's blocks, at most.
constexpr std::size_t kAroundBlocksBytes = 4096;
constexpr std::size_t kBlocksBytesTarget = kMessageBytesTarget - kAroundBlocksBytes;
/// A block goes in no smaller parts: each has a header, and its message one, too.
constexpr std::size_t kPartBytesMin = 1024;

bool is_data(const core::Block& block) {
  return block.header.kind() == static_cast<std::uint8_t>(BlockKind::data);
}

/// What the far end has to hold of it.
std::size_t bytes_of(const core::Block& block) {
  return core::kBlockHeaderBytes + block.header.raw_size();
}

std::string range_text(std::uint64_t first, std::uint64_t next) {
  return std::to_string(first) + " to " + std::to_string(next);
}

}  // namespace

Result<HeldStream> StreamPump::describe() {
  SPILLWAY_TRY(ranges, source_.journals());
  SPILLWAY_TRY(oldest, source_.oldest_offset());
  // The newest ones count: a stream that changed its journal thousands of times is told of by its
  // later part.
  if (ranges.size() > kJournalsMax) {
    ranges.erase(ranges.begin(), ranges.end() - static_cast<std::ptrdiff_t>(kJournalsMax));
  }
  ranges_ = ranges;
  oldest_offset_ = oldest;
  HeldStream held{source_.name(), oldest_offset_, ranges_};
  if (const Origin* origin = source_.origin()) {
    held.gateway = origin->gateway;
    held.gateway_name = origin->gateway_name;
  }
  return held;
}

Result<void> StreamPump::start(const WantedStream& wanted, PeerTakes takes) {
  if (wanted.journals.size() != ranges_.size()) {
    return fail(ErrorCode::kProtocol,
                "Welcome does not answer for every journal of stream " + name());
  }
  std::uint64_t start = oldest_offset_;
  const WantedJournal* last = nullptr;
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    const core::JournalRange& range = ranges_[i];
    const WantedJournal& want = wanted.journals[i];
    if (want.journal != range.journal) {
      return fail(ErrorCode::kProtocol, "Welcome names journals in another order than Hello");
    }
    const bool newest = i + 1 == ranges_.size();
    if (origin() != nullptr) wanted_[range.journal] = want.next_offset;
    if (newest && origin() == nullptr && want.next_offset > range.next_offset) {
      return fail(
          ErrorCode::kRefused,
          "the consumer holds stream " + name() + " up to offset " +
              std::to_string(want.next_offset) + " of journal " + range.journal.text() +
              " but this gateway only up to " + std::to_string(range.next_offset) +
              ": the spill was rolled back (a restored backup or image?); restart the agent "
              "with an empty journal page so that a new journal begins");
    }
    acked_ = {range.journal, range.sequence, want.next_offset};
    start = want.next_offset;
    last = &want;
    if (want.next_offset < end_of(i)) break;
  }
  // Of a relayed stream its origin answers for that: one gateway that was set back must not keep the
  // relay from delivering for all the others.
  const bool own = origin() == nullptr;
  if (own && last != nullptr && last->last_record != 0) SPILLWAY_CHECKED(check_history(*last));
  source_.offer_stored(takes.zstd);
  source_.packer().begin_session(takes.short_form, wanted.dictionaries);
  SPILLWAY_CHECKED(source_.seek_in(acked_.journal_sequence, start));
  position_ = start;
  reading_ = acked_.journal;
  sent_offset_ = start;
  sent_journal_ = acked_.journal;
  if (ranges_.empty()) return {};
  return source_.acknowledge(acked_);
}

/// The same offset, another record: what came behind it was lost here, and others have taken its
/// place. Of records that are not held any more nothing can be said.
Result<void> StreamPump::check_history(const WantedJournal& wanted) {
  if (wanted.next_offset <= oldest_offset_) return {};
  SPILLWAY_TRY(held, checksum_of_record(source_, wanted.journal, wanted.next_offset - 1));
  if (!held || *held == wanted.last_record) return {};
  return fail(
      ErrorCode::kRefused,
      "record " + std::to_string(wanted.next_offset - 1) + " of journal " + wanted.journal.text() +
          " of stream " + name() +
          " is another one at the consumer than here: this machine was set back to an older "
          "state (a snapshot or image?) and has gone on from it; restart the agent with an "
          "empty journal page so that a new journal begins");
}

std::uint64_t StreamPump::end_of(std::size_t range) const {
  if (origin() != nullptr) return ranges_[range].next_offset;
  return range + 1 < ranges_.size() ? ranges_[range + 1].first_offset : ranges_[range].next_offset;
}

const core::JournalRange* StreamPump::find(const core::Uuid& journal) const {
  // From the newest: that is where nearly every block belongs.
  const auto found = std::find_if(ranges_.rbegin(), ranges_.rend(),
                                  [&](const auto& range) { return range.journal == journal; });
  return found == ranges_.rend() ? nullptr : &*found;
}

core::Uuid StreamPump::journal() const { return acked_.journal; }

Result<std::optional<Bytes>> StreamPump::pull(std::uint64_t bytes_target,
                                              std::uint64_t room_bytes) {
  waits_for_room_ = false;
  run_bytes_target_ =
      static_cast<std::size_t>(std::clamp<std::uint64_t>(bytes_target, 1, kBlocksBytesTarget));
  const bool has_room = runs_.empty() || (!held_ && run_bytes_ < gathered_bytes());
  if (has_room && !gap_) SPILLWAY_CHECKED(collect());
  if (gathers()) return std::optional<Bytes>();
  if (!runs_.empty()) {
    waits_for_room_ = run_bytes_ + kAroundBlocksBytes > room_bytes;
    if (waits_for_room_) return std::optional<Bytes>();
    if (auto dictionary = source_.packer().take_dictionary(index_)) return dictionary;
    return flush_blocks();
  }
  if (gap_) return flush_gap();
  return std::optional<Bytes>();
}

/// Of so much a message is worth sending at once.
std::size_t StreamPump::gathered_bytes() const {
  return std::min(kGatheredBytes, run_bytes_target_);
}

/// Nothing says yet that what is collected has to go.
bool StreamPump::gathers() const {
  const bool complete = gap_ || held_ || journal_ended_ || run_bytes_ >= gathered_bytes();
  return !runs_.empty() && !complete && now_ns_ - run_since_ns_ < gather_ns_;
}

Result<void> StreamPump::collect() {
  if (journal_ended_) return {};
  if (held_) {
    core::Block block = *held_;
    const Bytes stored = std::move(held_stored_);
    block.stored = stored;
    held_.reset();
    SPILLWAY_TRY(taken, take(block));
    if (!taken) return {};
  }
  while (run_bytes_ < run_bytes_target_) {
    SPILLWAY_TRY(item, source_.next());
    if (!item) return {};
    if (const auto* gap = std::get_if<core::Gap>(&*item)) {
      if (origin() != nullptr) {
        journal_ended_ = find(gap->journal) == nullptr;  // the next session names it
        if (journal_ended_) return {};
        enter_journal(gap->journal);
      }
      if (gap->next_offset <= position_) continue;
      gap_ = *gap;
      gap_->first_offset = std::max(gap->first_offset, position_);
      return {};
    }
    SPILLWAY_TRY(taken, take(std::get<core::Block>(*item)));
    if (!taken) return {};
  }
  return {};
}

/// Only ever to a later one: blocks and gaps come in the journals' order.
void StreamPump::enter_journal(const core::Uuid& journal) {
  if (journal == reading_) return;
  reading_ = journal;
  position_ = wanted_[journal];
}

/// False: the block does not belong into this message and is held for a later one.
Result<bool> StreamPump::take(const core::Block& block) {
  const bool data = is_data(block);
  const std::uint64_t base = block.header.base_offset();
  const bool foreign = find(block.journal) == nullptr;
  if (foreign) {
    // Hello did not name it, and its offsets may begin below what was read: the next session tells
    // it from the start.
    SPILLWAY_TRY(ranges, source_.journals());
    journal_ended_ = std::any_of(ranges.begin(), ranges.end(),
                                 [&](const auto& range) { return range.journal == block.journal; });
  }
  if (!foreign && origin() != nullptr) enter_journal(block.journal);
  if (!foreign && data && base + block.header.count() <= position_) return true;
  const bool missing = !foreign && data && base > position_;
  if (missing && !gap_) {
    gap_ = core::Gap{position_, base, format::GapReason::none, 0, block.journal};
  }
  const bool other_journal = !runs_.empty() && block.journal != run_journal_;
  const bool no_room = !runs_.empty() && run_bytes_ + bytes_of(block) > run_bytes_target_;
  if (foreign || missing || other_journal || no_room) {
    hold(block);
    return false;
  }
  return put_in_parts(block);
}

void StreamPump::hold(const core::Block& block) {
  held_stored_.assign(block.stored.begin(), block.stored.end());
  held_ = block;
}

/// False: only its first part is in this message; the rest is held.
bool StreamPump::put_in_parts(const core::Block& block) {
  const std::size_t bytes_max = std::max(run_bytes_target_, kPartBytesMin);
  if (bytes_of(block) <= bytes_max || !has_parts(block)) {
    put(block);
    return true;
  }
  const std::uint64_t end = block.header.base_offset() + block.header.count();
  put(part_of(block, std::max(position_, block.header.base_offset()), bytes_max));
  if (position_ == end) return true;
  hold(part_of(block, position_, block.stored.size() + core::kBlockHeaderBytes));
  return false;
}

void StreamPump::put(const core::Block& block) {
  if (runs_.empty()) run_since_ns_ = now_ns_;
  if (runs_.empty() || runs_.back().salt != block.salt) runs_.push_back({block.salt, {}});
  Bytes& into = runs_.back().blocks;
  const auto header = core::bytes_of(block.header);
  into.insert(into.end(), header.begin(), header.end());
  into.insert(into.end(), block.stored.begin(), block.stored.end());
  run_bytes_ += bytes_of(block);
  run_journal_ = block.journal;
  if (is_data(block)) {
    position_ = block.header.base_offset() + block.header.count();
    run_next_offset_ = position_;
  }
}

/// In its short form where the far end takes it.
Bytes StreamPump::message_of_runs() {
  Blocks blocks{index_, run_journal_, {}};
  blocks.runs.reserve(runs_.size());
  for (const Run& run : runs_) blocks.runs.push_back({run.salt, run.blocks});
  // It was found before the block was put here.
  const auto journal = static_cast<std::size_t>(find(run_journal_) - ranges_.data());
  if (auto packed = source_.packer().pack(blocks, journal)) return std::move(*packed);
  return encode(blocks);
}

Bytes StreamPump::flush_blocks() {
  Bytes message = message_of_runs();
  if (run_next_offset_ != 0) {
    note_sent(run_journal_, run_next_offset_, std::max(message.size(), run_bytes_));
  }
  runs_.clear();
  run_bytes_ = 0;
  run_next_offset_ = 0;
  return message;
}

/// One message a journal: a gap that reaches over a journal's end is told in parts.
std::optional<Bytes> StreamPump::flush_gap() {
  if (ranges_
          .empty()) {  // nothing can be told before a journal is known; the next session tells it
    position_ = gap_->next_offset;
    gap_.reset();
    return {};
  }
  std::size_t at = ranges_.size() - 1;
  const bool told = origin() != nullptr && find(gap_->journal) != nullptr;
  const auto belongs = [&](const core::JournalRange& range) {
    return told ? range.journal == gap_->journal : range.first_offset <= gap_->first_offset;
  };
  while (at > 0 && !belongs(ranges_[at])) --at;
  const bool newest = told || at + 1 == ranges_.size();
  const std::uint64_t end = newest ? std::numeric_limits<std::uint64_t>::max() : end_of(at);
  const std::uint64_t next = std::min(gap_->next_offset, end);
  const GapMessage gap{index_, ranges_[at].journal, gap_->first_offset, next,
                       static_cast<std::uint8_t>(gap_->reason)};
  Bytes message = encode(gap);
  note_sent(gap.journal, next, message.size());
  position_ = next;
  gap_->first_offset = next;
  if (gap_->first_offset >= gap_->next_offset) gap_.reset();
  return message;
}

void StreamPump::note_sent(const core::Uuid& journal, std::uint64_t next_offset,
                           std::uint64_t bytes) {
  if (journal == sent_journal_ && next_offset <= sent_offset_) return;
  in_flight_.push_back({journal, next_offset, bytes});
  in_flight_bytes_ += bytes;
  sent_journal_ = journal;
  sent_offset_ = next_offset;
}

Result<void> StreamPump::acknowledge(const ShortAck& ack) {
  if (ack.journal < ranges_.size()) {
    return acknowledge(Ack{ack.stream, ranges_[ack.journal].journal, ack.next_offset});
  }
  return fail(ErrorCode::kProtocol, "the consumer acknowledged a journal of stream " + name() +
                                        " that Hello did not name");
}

/// A message of a later journal may be on its way behind the one that is acknowledged.
bool StreamPump::is_covered(const Sent& sent, const core::JournalRange& range,
                            std::uint64_t next_offset) const {
  if (sent.journal == range.journal) return sent.next_offset <= next_offset;
  const core::JournalRange* other = find(sent.journal);
  return other == nullptr || other->sequence < range.sequence;
}

Result<void> StreamPump::acknowledge(const Ack& ack) {
  const core::JournalRange* range = find(ack.journal);
  if (range == nullptr) {
    return fail(ErrorCode::kProtocol, "the consumer acknowledged journal " + ack.journal.text() +
                                          " of stream " + name() + ", which was never sent");
  }
  const bool same = acked_.journal == ack.journal;
  if (same ? ack.next_offset < acked_.next_offset : range->sequence < acked_.journal_sequence) {
    return fail(ErrorCode::kProtocol, "the consumer's acknowledgement of stream " + name() +
                                          " went back from offset " +
                                          range_text(acked_.next_offset, ack.next_offset));
  }
  std::uint64_t limit = same ? acked_.next_offset : 0;
  for (const Sent& sent : in_flight_) {
    if (sent.journal == ack.journal) limit = std::max(limit, sent.next_offset);
  }
  if (ack.next_offset > limit) {
    return fail(ErrorCode::kProtocol, "the consumer acknowledged stream " + name() +
                                          " up to offset " + std::to_string(ack.next_offset) +
                                          " but only " + std::to_string(limit) + " was sent");
  }
  if (ack.dead != 0 || !ack.verdicts.empty()) SPILLWAY_CHECKED(source_.refuse(ack));
  while (!in_flight_.empty() && is_covered(in_flight_.front(), *range, ack.next_offset)) {
    in_flight_bytes_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
  acked_ = {ack.journal, range->sequence, ack.next_offset};
  return source_.acknowledge(acked_);
}

}  // namespace spillway::uplink
