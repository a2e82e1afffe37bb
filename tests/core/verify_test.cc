#include "spillway/core/verify.h"

#include <functional>

#include "forwarding_env.h"
#include "spill_helpers.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::value_of;

/// In a journal's first segment: behind the header, the page of its synced head, and the lane block.
constexpr std::uint64_t kFirstDataAt = 2 * kPageBytes + 640;

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() {
    options_ = testing::small_options("");
    stream_ = value_of(Stream::open(env_, options_));
    value_of(stream_->declare_lane(testing::make_identity(1), 0, 0, false));
  }
  void fill(int count, std::size_t bytes = 1000) {
    for (int i = 0; i < count; ++i) {
      value_of(append_records(*stream_, 1, {std::string(bytes, 'x')}));
    }
  }
  VerifyReport verify() { return value_of(verify_stream(env_, options_.directory)); }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  const std::string first_ = "/spill/test/0000000000-00000000000000000000.spill";
};

TEST_F(VerifyTest, AWholeSpillIsOkAndCounted) {
  fill(200);
  const VerifyReport report = verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.records, 200U);
  EXPECT_GE(report.segments.size(), 4U);
  EXPECT_TRUE(report.segments.front().sealed);
  EXPECT_FALSE(report.segments.back().sealed);
  ASSERT_EQ(report.journals.size(), 1U);
  EXPECT_EQ(report.journals[0].next_offset, 200U);
}

/// Lets something happen between the walk through a segment and the judgement of its end.
class BusyEnv final : public testing::ForwardingEnv {
 public:
  BusyEnv(env::Env& env, std::function<void()> happens)
      : ForwardingEnv(env), happens_(std::move(happens)) {}
  Result<bool> exists(const std::string& path) override {
    if (path.ends_with(".spill")) happens_();
    return ForwardingEnv::exists(path);
  }

 private:
  std::function<void()> happens_;
};

TEST_F(VerifyTest, WhatARunningAgentAppendsMeanwhileIsNoDamage) {
  fill(3);
  BusyEnv busy(env_, [this] { fill(2); });
  const VerifyReport report = value_of(verify_stream(busy, options_.directory));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.records, 3U);
  EXPECT_EQ(stream_->next_offset(), 5U) << "nothing happened, so this shows nothing";
}

TEST_F(VerifyTest, AnyFlippedBitOfTheOnlyDataBlockIsDamage) {
  fill(1, 40);
  stream_.reset();
  value_of(env_.remove(options_.directory + "/control"));
  ASSERT_TRUE(verify().ok());
  const std::uint64_t begin = kFirstDataAt;
  for (std::uint64_t bit = 0; bit < (kBlockHeaderBytes + 56) * 8; ++bit) {
    env_.flip_bit(first_, begin * 8 + bit);
    EXPECT_FALSE(verify().ok()) << "bit " << bit;
    env_.flip_bit(first_, begin * 8 + bit);
  }
  EXPECT_TRUE(verify().ok());
}

TEST_F(VerifyTest, DamageIsNamedWithItsExactOffsetsAndWhatStandsBehind) {
  fill(200);
  env_.flip_bit(first_, 8 * (kFirstDataAt + 1088 * 3 + 200));
  const VerifyReport report = verify();
  ASSERT_EQ(report.damages.size(), 1U);
  EXPECT_EQ(report.damages[0].path, first_);
  EXPECT_EQ(report.damages[0].position, kFirstDataAt + 1088 * 3);
  EXPECT_EQ(report.damages[0].first_offset, 3U);
  EXPECT_EQ(report.damages[0].next_offset, report.segments[1].base_offset);
  EXPECT_EQ(report.damages[0].records_behind, report.segments[1].base_offset - 4);
}

TEST_F(VerifyTest, OneRottenBitOfAHeaderIsDamageThatLosesNothing) {
  fill(200);
  env_.flip_bit(first_, 8 * 60);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damages.size(), 1U);
  EXPECT_TRUE(report.damages[0].nothing_lost);
  EXPECT_TRUE(report.segments[0].readable);
  EXPECT_EQ(report.records, 200U);
}

TEST_F(VerifyTest, ARottenHeaderIsDamage) {
  fill(200);
  env_.flip_bit(first_, 8 * 60);
  env_.flip_bit(first_, 8 * 61);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damages.size(), 1U);
  EXPECT_FALSE(report.segments[0].readable);
  EXPECT_FALSE(report.segments[0].problem.empty());
}

TEST_F(VerifyTest, WhatTheQuotaDroppedIsAGapAndNoDamage) {
  fill(2500);
  const VerifyReport report = verify();
  EXPECT_TRUE(report.ok());
  ASSERT_EQ(report.gaps.size(), 1U);
  EXPECT_EQ(report.gaps[0].count() + report.records, 2500U);
}

TEST_F(VerifyTest, TheUnsealedSegmentThatAPowerCutLeavesIsNoDamage) {
  fill(10);
  value_of(testing::sync_now(*stream_));
  fill(10);
  stream_.reset();
  env_.restart_after_power_cut();
  stream_ = value_of(Stream::open(env_, options_));
  const VerifyReport report = verify();
  EXPECT_TRUE(report.ok());
  EXPECT_GE(report.records, 10U);
}

}  // namespace
}  // namespace spillway::core
