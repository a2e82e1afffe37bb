// A foreign stream whose relay loses its power, or is killed, at any step.
#include "core/foreign_helpers.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"

namespace spillway::core::testing {
namespace {

/// One life of a relay's store, cut at every step: what was acknowledged is there, once, and the origin
/// goes on from where it is asked to.
class PowerCut {
 public:
  explicit PowerCut(std::uint64_t seed, bool kill) : env_(seed), kill_(kill) {
    options_.directory = kDirectory;
    options_.gateway = id(1);
    options_.stream = "telemetry";
    options_.segment_bytes = kForeignSegmentBytesMin;
    options_.max_bytes = 64 * kForeignSegmentBytesMin;
  }

  /// True if it got to its end.
  bool run(std::optional<std::uint64_t> cut_at) {
    env_.cut_power_at(cut_at);
    bool whole = false;
    try {
      live();
      whole = true;
    } catch (const env::PowerCut&) {
    }
    stream_.reset();
    env_.cut_power_at(std::nullopt);
    kill_ ? env_.restart_after_kill() : env_.restart_after_power_cut();
    live();  // the origin sends the rest
    stream_.reset();
    const Told told = read_everything(env_);
    for (const Uuid& journal : {id(10), id(11)}) {
      EXPECT_EQ(told.records.at(journal).size(), 60U) << "cut at step " << cut_at.value_or(0);
      for (const auto& [offset, text] : told.records.at(journal)) {
        EXPECT_EQ(text, text_of(journal, offset, 3000));
      }
    }
    EXPECT_TRUE(told.gaps.empty());
    EXPECT_TRUE(value_of(verify_stream(env_, kDirectory)).ok());
    return whole;
  }

 private:
  void live() {
    stream_ = value_of(ForeignStream::open(env_, options_));
    stream_->begin_session();
    send({id(10), 0, 0}, 0, 60);
    send({id(11), 1, 40}, 40, 100);  // begins below the end of the one before
    stream_.reset();
  }

  /// As an origin does: from where the relay says that it stands.
  void send(const ForeignJournal& journal, std::uint64_t first, std::uint64_t next) {
    const auto stored = stream_->position(journal.id);
    const std::uint64_t acknowledged = acknowledged_[journal.id];
    EXPECT_GE(stored.value_or(first), acknowledged) << "what was acknowledged is gone";
    std::uint64_t at = stored.value_or(first);
    const MadeBlock lane = lane_block();
    if (at < next) value_of(stream_->append(journal, lane.header, lane.stored));
    while (at < next) {
      const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(10, next - at));
      const MadeBlock block = data_block(journal.id, at, count, 3000);
      value_of(stream_->append(journal, block.header, block.stored));
      at += count;
      if (at % 20 != 0 && at != next) continue;
      value_of(stream_->sync());
      acknowledged_[journal.id] = at;
    }
  }

  env::SimEnv env_;
  bool kill_;
  ForeignOptions options_;
  std::unique_ptr<ForeignStream> stream_;
  std::map<Uuid, std::uint64_t> acknowledged_;
};

TEST(ForeignStreamCutTest,
     NothingThatWasAcknowledgedIsLostAndNothingDoubledAtWhateverStepThePowerFails) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::uint64_t step = 0;
    while (!PowerCut(seed, false).run(step)) {
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << ", step " << step;
      ++step;
    }
    EXPECT_GT(step, 60U) << "a life of so few steps shows nothing";
  }
}

TEST(ForeignStreamCutTest, NorAtWhateverStepTheRelayIsKilled) {
  std::uint64_t step = 0;
  while (!PowerCut(9, true).run(step)) {
    ASSERT_FALSE(::testing::Test::HasFailure()) << "step " << step;
    ++step;
  }
}

}  // namespace
}  // namespace spillway::core::testing
