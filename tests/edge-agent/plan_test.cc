// What `spillway plan` predicts against what a drain and a stream make of the same load, on the
// simulated machine: nothing here takes time.
#include "spillway/core/plan.h"

#include <cmath>
#include <ostream>

#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"
#include "tests/edge-agent/drain_fixture.h"
#include "tests/edge-agent/fake_lanes.h"

namespace spillway::agent::testing {
namespace {

struct Load {
  double records_per_s;
  std::uint64_t record_bytes;
  std::uint64_t sync_interval_ns;
  std::uint64_t lanes;
  double seconds;
};

void PrintTo(const Load& load, std::ostream* out) {
  *out << load.records_per_s << "/s of " << load.record_bytes << " B, synced every "
       << load.sync_interval_ns / 1'000'000 << " ms";
}

/// What the spill holds at the end of such a time.
core::VerifyReport live(const Load& load, std::uint64_t segment_bytes) {
  core::env::SimEnv env(1);
  env.set_volatile_root("/run");
  core::StreamOptions options;
  options.name = "s";
  options.directory = "/spill/s";
  options.journal_page_path = "/run/queue/journal/s";
  options.segment_bytes = segment_bytes;
  options.max_bytes = 1ULL << 30;
  EXPECT_TRUE(env.make_directories("/run/queue/journal"));
  auto stream = core::Stream::open(env, options);
  EXPECT_TRUE(stream);
  FakeLanes lanes;
  for (std::uint64_t lane = 0; lane < load.lanes; ++lane) {
    lanes.add("t" + std::to_string(lane), "p");
  }
  Drain drain(lanes, {{stream->get(), {"#"}, load.sync_interval_ns}}, {});
  const std::string record(load.record_bytes, 'r');
  const auto now = [&env] {
    Now time;
    time.boottime_ns = env.boottime_ns();
    time.utc_ns = env.utc_ns();
    return time;
  };
  const core::PlanInput usual;
  std::uint64_t put = 0;
  const auto naps =
      static_cast<std::uint64_t>(load.seconds * 1e9 / static_cast<double>(usual.nap_ns));
  for (std::uint64_t nap = 1; nap <= naps; ++nap) {
    env.advance_ns(usual.nap_ns);
    const double due = static_cast<double>(nap * usual.nap_ns) / 1e9 * load.records_per_s;
    for (; static_cast<double>(put) < std::floor(due); ++put) {
      lanes.file("t" + std::to_string(put % load.lanes)).put(record);
    }
    static_cast<void>(drain.step(now()));
    for (auto& order : drain.take_orders()) drain.finish(order, order.run(), now());
  }
  auto report = core::verify_stream(env, options.directory);
  EXPECT_TRUE(report && report->ok());
  EXPECT_EQ(report->records, put);
  return std::move(*report);
}

class PlannedLoadTest : public ::testing::TestWithParam<Load> {};

TEST_P(PlannedLoadTest, PredictsTheBytesOfARealSpill) {
  const Load& load = GetParam();
  core::PlanInput input;
  input.records_per_s = load.records_per_s;
  input.record_bytes = load.record_bytes;
  input.outage_s = load.seconds;
  input.sync_interval_ns = load.sync_interval_ns;
  input.lanes = load.lanes;
  const auto plan = core::make_plan(input);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto report = live(load, plan->segment_bytes);
  ASSERT_GE(report.segments.size(), 4U) << "too little to compare";
  std::uint64_t records = 0;
  std::uint64_t full = 0;
  std::uint64_t blocks = 0;
  for (const auto& segment : report.segments) {
    if (!segment.sealed) continue;
    records += segment.records;
    blocks += segment.blocks - 2 - load.lanes;  // the clock, the seal, the lanes
    ++full;
  }
  const double per_segment = static_cast<double>(records) / static_cast<double>(full);
  EXPECT_NEAR(plan->records_per_segment / per_segment, 1, 0.03)
      << "planned " << plan->records_per_segment << ", found " << per_segment;
  EXPECT_NEAR(plan->records_per_block * static_cast<double>(blocks) / static_cast<double>(records),
              1, 0.05);
  const double spill_bytes =
      static_cast<double>(report.segments.size()) * static_cast<double>(plan->segment_bytes);
  EXPECT_LE(std::abs(static_cast<double>(plan->spill_bytes) - spill_bytes),
            std::max(1.0 * static_cast<double>(plan->segment_bytes), 0.03 * spill_bytes));
  EXPECT_GE(plan->max_bytes, static_cast<std::uint64_t>(spill_bytes)) << "nothing may be dropped";
}

INSTANTIATE_TEST_SUITE_P(
    Loads, PlannedLoadTest,
    ::testing::Values(Load{100, 200, 1'000'000'000, 1, 600}, Load{1, 60, 1'000'000'000, 1, 1200},
                      Load{300, 100, 100'000'000, 1, 200}, Load{2000, 64, 1'000'000'000, 1, 120},
                      Load{20, 3000, 0, 1, 200}, Load{600, 150, 500'000'000, 3, 120},
                      Load{50, 20'000, 1'000'000'000, 1, 60}));

core::PlanInput usual() {
  core::PlanInput input;
  input.records_per_s = 100;
  input.record_bytes = 200;
  input.outage_s = 86'400;
  input.link_bits_per_s = 2e6;
  return input;
}

TEST(PlanTest, ALinkThatCarriesLessThanComesNeverDrains) {
  auto input = usual();
  auto plan = *core::make_plan(input);
  ASSERT_TRUE(plan.drain_s);
  const double spare = plan.link_records_per_s - 100;
  EXPECT_NEAR(*plan.drain_s, 8'640'000 / spare, 1);
  EXPECT_TRUE(plan.never_drains.empty());
  input.link_bits_per_s = 200e3;
  plan = *core::make_plan(input);
  EXPECT_FALSE(plan.drain_s);
  EXPECT_NE(plan.never_drains.find("kbit/s"), std::string::npos) << plan.never_drains;
  input.link_bits_per_s = 0;
  plan = *core::make_plan(input);
  EXPECT_FALSE(plan.drain_s);
  EXPECT_TRUE(plan.never_drains.empty()) << "no link was planned";
}

TEST(PlanTest, FlashYearsFollowFromTheStatedEndurance) {
  auto input = usual();
  EXPECT_FALSE(core::make_plan(input)->flash_years);
  input.endurance_bytes = 10'000'000'000'000;
  const auto plan = *core::make_plan(input);
  EXPECT_NEAR(*plan.flash_years * plan.flash_bytes_per_day * 365.25, 1e13, 1e9);
  EXPECT_GT(plan.write_ratio, 1);
}

TEST(PlanTest, WhatNoConfigurationCanDoIsRefused) {
  const auto refused = [](auto change) {
    auto input = usual();
    change(input);
    const auto plan = core::make_plan(input);
    return !plan && plan.error().code == core::ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](auto& input) { input.records_per_s = 0; }));
  EXPECT_TRUE(refused([](auto& input) { input.records_per_s = std::nan(""); }));
  EXPECT_TRUE(refused([](auto& input) { input.record_bytes = 0; }));
  EXPECT_TRUE(refused([](auto& input) { input.record_bytes = 33U << 20; }));
  EXPECT_TRUE(refused([](auto& input) { input.outage_s = -1; }));
  EXPECT_TRUE(refused([](auto& input) { input.records_per_s = 1e9, input.outage_s = 1e9; }));
  EXPECT_TRUE(refused([](auto& input) { input.lanes = 0; }));
}

TEST(PlanTest, TheLargestRecordHasASegmentAndALaneThatTakeIt) {
  auto input = usual();
  input.records_per_s = 0.01;
  input.record_bytes = (32U << 20) - 32;
  const auto plan = core::make_plan(input);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->lane_bytes, 64U << 20);
  EXPECT_GE(plan->segment_bytes, 2 * input.record_bytes);
  EXPECT_GE(plan->max_bytes, 4 * plan->segment_bytes);
}

}  // namespace
}  // namespace spillway::agent::testing
