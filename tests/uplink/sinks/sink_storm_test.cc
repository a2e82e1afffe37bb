// By seed: an engine that refuses, forgets, delays, breaks off and answers in any order, a spill that
// grows, loses its power and frees, and an uplink that is killed. The oracle shares nothing with the
// session but the spill. Half of the seeds tell whole blocks.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "core/spill_helpers.h"
#include "uplink/sinks/memory_sink.h"
#include "uplink/sinks/sink_session.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::value_of;

constexpr std::uint64_t kSeeds = 60;
constexpr int kSteps = 400;

class Storm {
 public:
  explicit Storm(std::uint64_t seed) : chance_(seed) {
    sink_.chance.seed(seed + 1);
    sink_.shuffles = chance_() % 2 == 0;
    sink_.refuses = [this](const Envelope& envelope) {
      return std::string(is_refused(envelope) ? "not this one" : "");
    };
    payload_ = chance_() % 2 == 0 ? core::EnginePayload::kRaw : core::EnginePayload::kBlocks;
  }

  void run() {
    for (int i = 0; i < kSteps; ++i) step();
    sink_.fails_at_offer = 0;
    sink_.answers_a_collect = ~0U;
    sink_.room = 1'000'000;
    spill_.keep_no_letters(false);
    restart();
    for (int i = 0; i < 2000 && cursor() < spill_.next_offset(); ++i) {
      now_ns_ += SinkSession::kRetryNs;
      value_of(session_->on_tick(now_ns_));
      pump_and_collect();
    }
    EXPECT_EQ(cursor(), spill_.next_offset()) << "it does not come to its end";
    check(spill_.next_offset());
    EXPECT_FALSE(spill_.cursor_went_back());
  }

 private:
  static bool is_bad(std::uint64_t offset) { return offset % 97 == 5; }
  /// A block for the sake of one of its records.
  static bool is_refused(const Envelope& envelope) {
    if (envelope.kind == EnvelopeKind::kRecord) return is_bad(envelope.offset);
    if (envelope.kind != EnvelopeKind::kBlocks) return false;
    for (std::uint64_t at = envelope.offset; at < envelope.next_offset; ++at) {
      if (is_bad(at)) return true;
    }
    return false;
  }
  std::uint64_t cursor() const { return spill_.cursor() ? spill_.cursor()->next_offset : 0; }

  void restart() {
    source_ = &spill_;
    SinkSessionOptions options;
    options.gateway = {uuid_number(7), "g"};
    options.payload = payload_;
    options.window_messages = 1 + chance_() % 200;
    options.window_bytes = 4096 + chance_() % 100'000;
    value_of(sink_.connect(0));
    session_.emplace(options, std::span(&source_, 1), sink_);
    value_of(session_->begin(now_ns_));
  }

  void pump_and_collect() {
    const auto pumped = session_->pump(now_ns_);
    const auto collected = pumped ? session_->collect(now_ns_, 0) : core::Result<void>{};
    if (!pumped || !collected) restart();
    check(cursor());
  }

  void step() {
    if (!session_) restart();
    switch (chance_() % 12) {
      case 0:
        return restart();  // kill -9 of the uplink, or the engine broke off
      case 1:
        sink_.answers_a_collect = chance_() % 30;
        return;
      case 2:
        sink_.room = 1 + chance_() % 100;
        return;
      case 3:
        sink_.fails_at_offer = chance_() % 3 == 0 ? 1 + chance_() % 50 : 0;
        return;
      case 4:
        spill_.keep_no_letters(chance_() % 2 == 0);
        return;
      case 5:
        now_ns_ += SinkSession::kRetryNs;
        value_of(session_->on_tick(now_ns_));
        return;
      case 6:
        spill_.roll();
        return;
      case 7:
      case 8:
        spill_.append(static_cast<std::uint32_t>(1 + chance_() % 40));
        return;
      default:
        pump_and_collect();
    }
  }

  /// Everything below the cursor is at the engine, as what it is, or a dead letter that it knows of.
  void check(std::uint64_t below) {
    for (; read_ < sink_.stored.size(); ++read_) {
      const StoredMessage& message = sink_.stored[read_];
      const Envelope& envelope = message.envelope;
      if (envelope.kind == EnvelopeKind::kRecord) {
        arrived(envelope.offset, message.payload);
      } else if (envelope.kind == EnvelopeKind::kBlocks) {
        arrived_in_blocks(message);
      } else if (envelope.kind == EnvelopeKind::kGap) {
        for (std::uint64_t at = envelope.offset; at < envelope.next_offset; ++at) told_.insert(at);
      }
    }
    for (; letters_read_ < spill_.verdicts().size(); ++letters_read_) {
      letters_.insert(spill_.verdicts()[letters_read_].offset);
    }
    for (; checked_ < below; ++checked_) {
      // Of a refused block the good ones are letters, too.
      const bool is_letter = letters_.contains(checked_) && told_.contains(checked_);
      if (is_bad(checked_)) {
        ASSERT_TRUE(is_letter) << checked_ << " is neither here nor there";
      } else {
        ASSERT_TRUE(there_.contains(checked_) || is_letter) << checked_ << " is lost";
      }
    }
  }

  void arrived(std::uint64_t offset, std::string_view payload) {
    ASSERT_EQ(payload, record_text("one", offset));
    // First arrivals come in order: one lane, one key.
    if (there_.insert(offset).second) {
      ASSERT_GE(offset, newest_);
      newest_ = offset;
    }
  }

  /// The records are in the last of the blocks; what was told before stands there, too.
  void arrived_in_blocks(const StoredMessage& message) {
    auto rest = std::as_bytes(std::span(message.payload));
    format::BlockHeader header;
    std::span<const std::byte> stored;
    while (!rest.empty()) {
      std::memcpy(&header, rest.data(), sizeof(header));
      stored = rest.subspan(sizeof(header), header.stored_size());
      ASSERT_TRUE(core::check_block(header, stored, message.envelope.salt, header.base_offset()));
      rest = rest.subspan(sizeof(header) + stored.size());
    }
    ASSERT_EQ(header.base_offset() + header.count(), message.envelope.next_offset);
    core::FrameCursor frames(stored);
    core::FrameView frame;
    for (std::uint64_t offset = header.base_offset(); frames.next(frame); ++offset) {
      const auto* text = reinterpret_cast<const char*>(frame.record.data());
      if (offset >= message.envelope.offset) arrived(offset, {text, frame.record.size()});
    }
  }

  std::mt19937_64 chance_;
  core::EnginePayload payload_ = core::EnginePayload::kRaw;
  FakeSpill spill_{"one", 1};
  MemorySink sink_;
  BlockSource* source_ = nullptr;
  std::optional<SinkSession> session_;
  std::uint64_t now_ns_ = 1'000'000'000;
  std::size_t read_ = 0;
  std::size_t letters_read_ = 0;
  std::uint64_t checked_ = 0;
  std::uint64_t newest_ = 0;
  std::set<std::uint64_t> there_;
  std::set<std::uint64_t> told_;
  std::set<std::uint64_t> letters_;
};

TEST(SinkStorm, NothingIsLostAndTheCursorPassesOnlyWhatIsSafe) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Storm(seed).run();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace spillway::uplink::test
