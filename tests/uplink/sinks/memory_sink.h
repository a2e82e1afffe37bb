// An engine in memory: what it stored, in which order, and whatever a test wants it to do wrong.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "uplink/sinks/sink.h"

namespace spillway::uplink::test {

struct StoredMessage {
  Envelope envelope;
  std::string key;
  std::string payload;
  std::string content_type;
};

class MemorySink final : public Sink {
 public:
  // --- what goes wrong ---
  /// Why a message is refused; empty: it is not.
  std::function<std::string(const Envelope&)> refuses = [](const Envelope&) {
    return std::string();
  };
  std::size_t room = 1'000'000;         // messages that are taken before collect()
  std::size_t answers_a_collect = ~0U;  // outcomes that one collect() tells
  std::uint64_t fails_at_offer = 0;     // of this connection; 0: never
  bool shuffles = false;                // outcomes come in any order
  std::mt19937_64 chance{1};

  // --- what it has ---
  std::vector<StoredMessage> stored;
  std::size_t offers = 0;
  std::size_t in_flight_max = 0;
  std::uint64_t bytes_in_flight_max = 0;

  core::Result<void> connect(std::uint64_t) override {
    disconnect();
    return {};
  }
  core::Result<Offered> offer(const SinkMessage& message) override {
    if (waiting_.size() >= room) return Offered::kFull;
    if (++offers_here_ == fails_at_offer) {
      return core::fail(core::ErrorCode::kUnavailable, "the engine is gone");
    }
    ++offers;
    std::string reason = refuses(*message.envelope);
    // As an engine does: what it has it has, whether or not it gets to say so.
    if (reason.empty()) stored.push_back(copy_of(message));
    bytes_ += message.payload.size();
    waiting_.push_back(
        {{message.ticket, reason.empty() ? SinkOutcome::Kind::kStored : SinkOutcome::Kind::kRefused,
          std::move(reason)},
         message.payload.size()});
    in_flight_max = std::max(in_flight_max, waiting_.size());
    bytes_in_flight_max = std::max(bytes_in_flight_max, bytes_);
    return Offered::kTaken;
  }
  core::Result<void> collect(std::uint64_t, std::vector<SinkOutcome>& outcomes) override {
    for (std::size_t n = 0; n < answers_a_collect && !waiting_.empty(); ++n) {
      const std::size_t at = shuffles ? chance() % waiting_.size() : 0;
      bytes_ -= waiting_[at].bytes;
      outcomes.push_back(std::move(waiting_[at].outcome));
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return {};
  }
  void disconnect() override {
    waiting_.clear();
    bytes_ = 0;
    offers_here_ = 0;
  }

  [[nodiscard]] std::vector<const StoredMessage*> of(EnvelopeKind kind) const {
    std::vector<const StoredMessage*> found;
    for (const StoredMessage& message : stored) {
      if (message.envelope.kind == kind) found.push_back(&message);
    }
    return found;
  }

 private:
  struct Waiting {
    SinkOutcome outcome;
    std::uint64_t bytes = 0;
  };
  static StoredMessage copy_of(const SinkMessage& message) {
    return {
        *message.envelope, std::string(message.key),
        std::string(reinterpret_cast<const char*>(message.payload.data()), message.payload.size()),
        std::string(message.content_type)};
  }
  std::deque<Waiting> waiting_;
  std::uint64_t bytes_ = 0;
  std::uint64_t offers_here_ = 0;
};

}  // namespace spillway::uplink::test
