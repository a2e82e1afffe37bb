// By seed: an engine that refuses, forgets, delays, breaks off and answers in any order, a spill that
// grows, loses its power and frees, and an uplink that is killed. The oracle shares nothing with the
// session but the spill.
#include <gtest/gtest.h>

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
      const bool bad = envelope.kind == EnvelopeKind::kRecord && is_bad(envelope.offset);
      return std::string(bad ? "not this one" : "");
    };
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
  std::uint64_t cursor() const { return spill_.cursor() ? spill_.cursor()->next_offset : 0; }

  void restart() {
    source_ = &spill_;
    SinkSessionOptions options;
    options.gateway = {uuid_number(7), "g"};
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
        ASSERT_EQ(message.payload, record_text("one", envelope.offset));
        // First arrivals come in order: one lane, one key.
        if (there_.insert(envelope.offset).second) {
          ASSERT_GE(envelope.offset, newest_);
          newest_ = envelope.offset;
        }
      } else if (envelope.kind == EnvelopeKind::kGap) {
        for (std::uint64_t at = envelope.offset; at < envelope.next_offset; ++at) told_.insert(at);
      }
    }
    for (; letters_read_ < spill_.verdicts().size(); ++letters_read_) {
      letters_.insert(spill_.verdicts()[letters_read_].offset);
    }
    for (; checked_ < below; ++checked_) {
      if (is_bad(checked_)) {
        ASSERT_TRUE(letters_.contains(checked_)) << checked_ << " is neither here nor there";
        ASSERT_TRUE(told_.contains(checked_)) << checked_;
      } else {
        ASSERT_TRUE(there_.contains(checked_)) << checked_ << " is lost";
      }
    }
  }

  std::mt19937_64 chance_;
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
