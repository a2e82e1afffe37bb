// The drain and the stream on the simulated machine, killed or cut from power at every step of a
// scripted run.
#include "spillway/core/env/sim_env.h"
#include "tests/edge-agent/drain_fixture.h"
#include "tests/edge-agent/fake_lanes.h"

namespace spillway::agent::testing {
namespace {

using core::env::SimEnv;

constexpr int kRecords = 60;
constexpr std::uint64_t kSyncIntervalNs = 1'000'000;

core::Result<std::unique_ptr<core::Stream>> open_stream(SimEnv& env) {
  core::StreamOptions options;
  options.name = "s";
  options.directory = "/spill/s";
  options.journal_page_path = "/run/queue/journal/s";
  options.segment_bytes = 64 * 1024;
  options.max_bytes = 1 << 20;
  SPILLWAY_CHECKED(env.make_directories("/run/queue/journal"));
  return core::Stream::open(env, options);
}

Now now_of(SimEnv& env) {
  Now now;
  now.boottime_ns = env.boottime_ns();
  now.utc_ns = env.utc_ns();
  return now;
}

/// One life of an agent: puts what is left of the script in small pieces, drains, syncs. Throws
/// PowerCut.
void live(SimEnv& env, FakeLanes& lanes, int& produced) {
  auto stream = open_stream(env);
  ASSERT_TRUE(stream) << stream.error().message;
  DrainOptions options;
  options.lane_bytes_per_step = 128;
  Drain drain(lanes, {{stream->get(), {"#"}, kSyncIntervalNs}}, options);
  for (int quiet = 0; quiet < 4;) {
    if (produced < kRecords) lanes.file("t").put(std::to_string(produced++));
    env.advance_ns(400'000);
    const auto report = drain.step(now_of(env));
    for (auto& order : drain.take_orders()) drain.finish(order, order.run(), now_of(env));
    quiet = report.records == 0 && produced == kRecords ? quiet + 1 : 0;
  }
}

std::vector<std::string> script() {
  std::vector<std::string> all;
  for (int i = 0; i < kRecords; ++i) all.push_back(std::to_string(i));
  return all;
}

std::uint64_t steps_of_a_whole_run() {
  SimEnv env(1);
  env.set_volatile_root("/run");
  FakeLanes lanes;
  lanes.add("t", "p");
  int produced = 0;
  live(env, lanes, produced);
  return env.steps();
}

TEST(DrainKilledAtEveryStep, LosesAndDoublesNothing) {
  const std::uint64_t steps = steps_of_a_whole_run();
  ASSERT_GT(steps, 100U);
  for (std::uint64_t at = 0; at < steps; ++at) {
    SCOPED_TRACE(at);
    SimEnv env(at);
    env.set_volatile_root("/run");
    FakeLanes lanes;
    lanes.add("t", "p");
    int produced = 0;
    env.cut_power_at(at);
    try {
      live(env, lanes, produced);
    } catch (const core::env::PowerCut&) {
    }
    env.cut_power_at(std::nullopt);
    env.restart_after_kill();
    live(env, lanes, produced);
    auto found = read_contents(env, "/spill/s");
    ASSERT_EQ(found.size(), 1U);
    ASSERT_EQ(found["p"].size(), script().size());
    ASSERT_EQ(found["p"], script());
  }
}

TEST(DrainOfADyingProducer, TakesWhatWasCommittedBetweenTheLastWalkAndTheQuestion) {
  SimEnv env(1);
  env.set_volatile_root("/run");
  FakeLanes lanes;
  lanes.add("t", "p");
  lanes.file("t").put("first");
  lanes.file("t").last_record = "last";
  lanes.file("t").gone = true;
  auto stream = open_stream(env);
  ASSERT_TRUE(stream) << stream.error().message;
  Drain drain(lanes, {{stream->get(), {"#"}, kSyncIntervalNs}}, {});
  for (int i = 0; i < 10; ++i) {
    env.advance_ns(200'000'000);
    static_cast<void>(drain.step(now_of(env)));
    for (auto& order : drain.take_orders()) drain.finish(order, order.run(), now_of(env));
  }
  EXPECT_EQ(drain.lanes().size(), 0U);
  EXPECT_EQ(read_contents(env, "/spill/s")["p"], (std::vector<std::string>{"first", "last"}));
}

TEST(DrainCutFromPowerAtEveryStep, KeepsWhatItCalledPowerSafe) {
  const std::uint64_t steps = steps_of_a_whole_run();
  for (std::uint64_t at = 0; at < steps; ++at) {
    SCOPED_TRACE(at);
    SimEnv env(at);
    env.set_volatile_root("/run");
    FakeLanes lanes;
    lanes.add("t", "p");
    int produced = 0;
    env.cut_power_at(at);
    try {
      live(env, lanes, produced);
    } catch (const core::env::PowerCut&) {
    }
    env.cut_power_at(std::nullopt);
    const std::size_t power_safe = lanes.file("t").records_below(lanes.file("t").durable);
    env.restart_after_power_cut();
    auto reopened = open_stream(env);
    ASSERT_TRUE(reopened) << reopened.error().message;
    auto found = read_contents(env, "/spill/s");
    found.erase("gap");  // a torn tail is written down as one
    const auto& kept = found["p"];
    ASSERT_GE(kept.size(), power_safe);
    const auto all = script();
    ASSERT_TRUE(std::equal(kept.begin(), kept.end(), all.begin()));
  }
}

}  // namespace
}  // namespace spillway::agent::testing
