#include "uplink/sinks/sink_session.h"

#include <algorithm>
#include <utility>

namespace spillway::uplink {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

/// A stream's turn, at most: then another one's comes.
constexpr std::uint64_t kTurnBytes = 16ULL << 10;
constexpr std::size_t kTurnMessages = 32;
/// What an engine's headers take, about.
constexpr std::uint64_t kHeadersBytes = 512;
/// This part of the window is kept for live data.
constexpr std::uint64_t kLivePart = 8;

std::vector<StreamShare> shares_of(const SinkSessionOptions& options, std::size_t streams) {
  std::vector<StreamShare> shares = options.shares;
  shares.resize(streams);
  return shares;
}

double smoothed(double mean, double measured) {
  return mean == 0 ? measured : (63 * mean + measured) / 64;
}

std::string_view name_of(const Origin& origin, std::string& id) {
  if (!origin.gateway_name.empty()) return origin.gateway_name;
  id = origin.gateway.text();
  return id;
}

}  // namespace

SinkSession::SinkSession(SinkSessionOptions options, std::span<BlockSource* const> sources,
                         Sink& sink)
    : options_(std::move(options)), sink_(sink), scheduler_(shares_of(options_, sources.size())) {
  streams_.reserve(sources.size());
  for (BlockSource* source : sources) {
    streams_.push_back(std::make_unique<Stream>(*source, options_.gateway, options_.payload));
  }
  // What is live may fill no more of the window than is kept for it, of its messages neither.
  const std::uint64_t window =
      std::min(options_.window_bytes, options_.window_messages * 2 * kHeadersBytes);
  scheduler_.set_live_bytes(std::max<std::uint64_t>(window / kLivePart, 1));
}

Result<void> SinkSession::begin(std::uint64_t now_ns) {
  answered_ns_ = now_ns;
  for (const auto& stream : streams_) {
    SPILLWAY_CHECKED(stream->unpacker.begin());
    if (const auto& cursor = stream->source.cursor()) stream->sent_offset = cursor->next_offset;
  }
  return {};
}

// --- what is handed over ---

bool SinkSession::has_room(std::uint64_t bytes) const {
  if (in_flight_ == 0) return true;
  return in_flight_ < options_.window_messages && sent_.size() < kTrackedMax &&
         in_flight_bytes_ + bytes <= options_.window_bytes;
}

/// Nothing: not even live data may go.
std::optional<Admission> SinkSession::admission() const {
  if (full_ || !has_room(0)) return std::nullopt;
  const std::uint64_t bytes = options_.window_bytes - options_.window_bytes / kLivePart;
  const std::uint64_t messages = options_.window_messages - options_.window_messages / kLivePart;
  const bool room_for_all = in_flight_bytes_ < bytes && in_flight_ < messages;
  return room_for_all ? Admission::kAll : Admission::kLiveOnly;
}

Result<std::uint64_t> SinkSession::pump(std::uint64_t now_ns, std::uint64_t bytes_max) {
  if (in_flight_ == 0) answered_ns_ = now_ns;
  pumped_ = 0;
  full_ = false;
  SPILLWAY_TRY(told, tell_owed());
  if (!told) return pumped_;
  scheduler_.begin();
  while (pumped_ < bytes_max) {
    const auto admitted = admission();
    if (!admitted) break;
    const auto stream = scheduler_.next(*admitted);
    if (!stream) break;
    const std::uint64_t before = pumped_;
    SPILLWAY_TRY(bytes, take_turn(*stream, bytes_max - before));
    if (bytes != 0) {
      scheduler_.sent(*stream, bytes);
    } else if (!full_) {
      scheduler_.found_empty(*stream);
    }
  }
  SPILLWAY_CHECKED(settle(now_ns));  // of what could not even be handed over
  return pumped_;
}

/// True: all of them are on their way.
Result<bool> SinkSession::tell_owed() {
  while (!owed_.empty()) {
    const Owed owed = owed_.front();
    Stream& stream = *streams_[owed.stream];
    const auto part = stream.ledger.part(owed.entry);
    if (part) {
      const Envelope gap = stream.unpacker.refused_gap(part->behind, part->records);
      SPILLWAY_TRY(taken, offer(owed.stream, gap, {}, owed.entry));
      if (!taken) return false;
    }
    owed_.pop_front();
  }
  return true;
}

Result<std::uint64_t> SinkSession::take_turn(std::size_t index, std::uint64_t bytes_max) {
  Stream& stream = *streams_[index];
  const std::uint64_t before = pumped_;
  const std::uint64_t bytes = std::min(kTurnBytes, bytes_max);
  for (std::size_t n = 0; n < kTurnMessages && pumped_ - before < bytes; ++n) {
    if (stream.ledger.size() >= kTrackedMax) break;
    if (n != 0 && admission() != Admission::kAll) break;  // the scheduler says for whom the rest is
    SPILLWAY_TRY(any, stream.unpacker.front());
    if (!any) break;
    SPILLWAY_TRY(taken, hand_over(index));
    if (!taken) break;
    stream.unpacker.pop();
  }
  return pumped_ - before;
}

/// The stream's next message. False: there is no room for it.
Result<bool> SinkSession::hand_over(std::size_t index) {
  Stream& stream = *streams_[index];
  const Envelope& envelope = stream.unpacker.envelope();
  auto payload = stream.payloads.make(envelope, stream.unpacker.payload());
  if (!payload) {
    // Refused here, before the engine could: the same way for it, and it is never on its way.
    const std::uint64_t ticket = first_ticket_ + sent_.size();
    sent_.push_back({index, ticket, 0, true, true});
    stream.ledger.add(ticket, stream.unpacker.behind(), stream.unpacker.records());
    stream.refused.push_back({ticket, std::move(payload).error().message});
    touch(index);
    pumped_ += kHeadersBytes;
    return true;
  }
  const std::uint64_t before = pumped_;
  SPILLWAY_TRY(taken, offer(index, envelope, *payload, std::nullopt));
  if (!taken) return false;
  if (const auto& behind = stream.unpacker.behind()) stream.sent_offset = behind->next_offset;
  if (const std::uint64_t records = stream.unpacker.records(); records != 0) {
    const double bytes = static_cast<double>(pumped_ - before) / static_cast<double>(records);
    stream.bytes_per_record = smoothed(stream.bytes_per_record, bytes);
  }
  return true;
}

/// `entry`: of the ledger, that this message is for; nothing: a new one.
Result<bool> SinkSession::offer(std::size_t index, const Envelope& envelope, const Payload& payload,
                                std::optional<std::uint64_t> entry) {
  Stream& stream = *streams_[index];
  const std::uint64_t bytes = payload.bytes.size() + kHeadersBytes;
  full_ = !has_room(bytes);
  if (full_) return false;
  SinkMessage message;
  message.ticket = first_ticket_ + sent_.size();
  message.envelope = &envelope;
  message.key = key_of(stream, envelope);
  message.payload = payload.bytes;
  message.content_type = payload.content_type;
  SPILLWAY_TRY(offered, sink_.offer(message));
  full_ = offered == Offered::kFull;
  if (full_) return false;
  const std::uint64_t records = entry ? 0 : stream.unpacker.records();
  sent_.push_back({index, entry.value_or(message.ticket), bytes, records != 0, false});
  if (!entry) stream.ledger.add(message.ticket, stream.unpacker.behind(), records);
  ++in_flight_;
  in_flight_bytes_ += bytes;
  pumped_ += bytes;
  return true;
}

StreamUnpacker::Form SinkSession::form_of(core::EnginePayload payload) {
  return payload == core::EnginePayload::kBlocks ? StreamUnpacker::Form::kBlocks
                                                 : StreamUnpacker::Form::kRecords;
}

/// Records and their lane's totals keep their order by gateway and topic; the rest by gateway.
const std::string& SinkSession::key_of(const Stream& stream, const Envelope& envelope) {
  std::string id;
  key_ = name_of(stream.unpacker.origin(), id);
  if (!envelope.topic.empty()) key_.append("/").append(envelope.topic);
  return key_;
}

// --- what comes back ---

Result<void> SinkSession::collect(std::uint64_t now_ns, std::uint64_t wait_ns) {
  outcomes_.clear();
  auto collected = sink_.collect(wait_ns, outcomes_);
  // What was learnt before the error counts.
  for (SinkOutcome& outcome : outcomes_) SPILLWAY_CHECKED(take(outcome));
  if (!outcomes_.empty()) answered_ns_ = now_ns;
  SPILLWAY_CHECKED(settle(now_ns));
  return collected;
}

Result<void> SinkSession::take(SinkOutcome& outcome) {
  const std::uint64_t at = outcome.ticket - first_ticket_;
  if (outcome.ticket < first_ticket_ || at >= sent_.size() || sent_[at].done) {
    return fail(ErrorCode::kProtocol, "the engine's client answered for message " +
                                          std::to_string(outcome.ticket) +
                                          ", which is not on its way");
  }
  InFlight& message = sent_[at];
  Stream& stream = *streams_[message.stream];
  message.done = true;
  --in_flight_;
  in_flight_bytes_ -= message.bytes;
  const bool refused = outcome.kind == SinkOutcome::Kind::kRefused;
  if (refused && message.holds_records) {
    stream.refused.push_back({message.entry, std::move(outcome.reason)});
  } else {
    // What is no record cannot be a letter; the records do not wait for it.
    if (refused) untold_ = std::move(outcome.reason);
    stream.ledger.settle(message.entry);
    if (!refused) ++stored_;
  }
  touch(message.stream);
  while (!sent_.empty() && sent_.front().done) {
    sent_.pop_front();
    ++first_ticket_;
  }
  return {};
}

void SinkSession::touch(std::size_t stream) {
  if (std::exchange(streams_[stream]->touched, true)) return;
  touched_.push_back(stream);
}

Result<void> SinkSession::settle(std::uint64_t now_ns) {
  for (const std::size_t index : touched_) {
    Stream& stream = *streams_[index];
    stream.touched = false;
    if (!stream.refused.empty() && now_ns >= stream.retry_at_ns) keep_letters(index, now_ns);
    const auto position = stream.ledger.advance();
    if (position) SPILLWAY_CHECKED(stream.source.acknowledge(*position));
  }
  touched_.clear();
  while (!sent_.empty() && sent_.front().done) {
    sent_.pop_front();
    ++first_ticket_;
  }
  return {};
}

void SinkSession::keep_letters(std::size_t index, std::uint64_t now_ns) {
  Stream& stream = *streams_[index];
  stream.letters_error.clear();
  while (!stream.refused.empty()) {
    const Ack letters = next_letters(stream);
    if (const auto stored = stream.source.refuse(letters); !stored) {
      stream.letters_error = stored.error().message;
      stream.retry_at_ns = now_ns + kRetryNs;
      return;
    }
    were_kept(index, letters.verdicts.size());
  }
}

/// As many as are of one journal and go into one acknowledgement.
Ack SinkSession::next_letters(Stream& stream) {
  Ack letters;
  for (const Refusal& refusal : stream.refused) {
    const auto part = stream.ledger.part(refusal.ticket);
    if (!part) continue;
    if (!letters.verdicts.empty() && part->behind.journal != letters.journal) break;
    letters.journal = part->behind.journal;
    const std::uint64_t first = part->behind.next_offset - part->records;
    for (std::uint64_t n = refusal.kept; n < part->records; ++n) {
      if (letters.verdicts.size() == kVerdictsMax) return letters;
      letters.verdicts.push_back({first + n, refusal.reason, false});
    }
  }
  return letters;
}

/// The first so many; those of which all are kept are told next.
void SinkSession::were_kept(std::size_t index, std::size_t letters) {
  Stream& stream = *streams_[index];
  auto refusal = stream.refused.begin();
  for (; refusal != stream.refused.end(); ++refusal) {
    const auto part = stream.ledger.part(refusal->ticket);
    const std::uint64_t left = part ? part->records - refusal->kept : 0;
    if (left > letters) {
      refusal->kept += letters;
      break;
    }
    letters -= static_cast<std::size_t>(left);
    owed_.push_back({index, refusal->ticket});
  }
  stream.refused.erase(stream.refused.begin(), refusal);
}

Result<void> SinkSession::on_tick(std::uint64_t now_ns) {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (!streams_[i]->refused.empty()) touch(i);
  }
  SPILLWAY_CHECKED(settle(now_ns));
  if (in_flight_ == 0 || now_ns - std::min(now_ns, answered_ns_) < options_.answer_timeout_ns) {
    return {};
  }
  return fail(ErrorCode::kUnavailable,
              std::to_string(in_flight_) +
                  " messages are on their way and nothing was confirmed in " +
                  std::to_string(options_.answer_timeout_ns / 1'000'000'000) +
                  " s: the connection is begun anew");
}

// --- what is told of it ---

bool SinkSession::is_live(std::size_t stream) const {
  return scheduler_.is_live(stream) && streams_[stream]->ledger.size() < kTrackedMax;
}

std::uint64_t SinkSession::sent_offset(std::size_t stream) const {
  return streams_[stream]->sent_offset;
}

double SinkSession::bytes_per_record(std::size_t stream) const {
  return streams_[stream]->bytes_per_record;
}

std::string SinkSession::letters_error() const {
  for (const auto& stream : streams_) {
    if (!stream->letters_error.empty()) return stream->letters_error;
  }
  return "";
}

}  // namespace spillway::uplink
