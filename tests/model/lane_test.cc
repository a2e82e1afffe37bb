// The real ring headers in every scenario, with every kind of death: nothing lost, doubled,
// reordered, altered or torn, no byte overwritten that is not drained, nobody stuck.
#include <gtest/gtest.h>

#include <iostream>

#include "spillway/shm/ring_reader.h"
#include "spillway/shm/ring_writer.h"
#include "tests/model/explorer.h"
#include "tests/model/lane_program.h"

namespace spillway::model {
namespace {

using RealLane = LaneProgram<shm::RingWriter, shm::RingBatch, shm::RingReader>;

class Lane : public ::testing::TestWithParam<std::tuple<Scenario, Deaths>> {};

TEST_P(Lane, KeepsEveryRecord) {
  const auto& [scenario, deaths] = GetParam();
  RealLane program(scenario, deaths);
  const Outcome outcome = explore(program);
  std::cout << scenario.name << ", " << deaths.name << ": " << outcome.states << " states, "
            << outcome.steps << " steps, " << outcome.ends << " ends\n";
  for (const std::string& line : outcome.trace) std::cout << "  " << line << '\n';
  EXPECT_EQ(outcome.violation, "");
  EXPECT_GT(outcome.ends, 0U);
}

// Not only the scenarios that somebody thought of: every producer of four actions.
const std::vector<Action>& alphabet() {
  static const std::vector<Action> all = {put(16),          put(20),         put_short(32, 5),
                                          abandon(32),      batch({16, 20}), batch({20, 5, 16}),
                                          abandon_batch(16)};
  return all;
}

class EveryProducer : public ::testing::TestWithParam<std::size_t> {};

TEST_P(EveryProducer, OfFourActionsKeepsEveryRecord) {
  const std::size_t letters = alphabet().size();
  std::uint64_t states = 0;
  for (std::size_t rest = 0; rest < letters * letters * letters; ++rest) {
    const Scenario scenario{
        "Enumerated",
        128,
        64,
        {alphabet()[GetParam()], alphabet()[rest % letters], alphabet()[rest / letters % letters],
         alphabet()[rest / letters / letters]},
        true};
    RealLane program(scenario, deaths().front());
    const Outcome outcome = explore(program);
    states += outcome.states;
    ASSERT_EQ(outcome.violation, "") << GetParam() << " then " << rest;
    ASSERT_GT(outcome.ends, 0U);
  }
  std::cout << letters * letters * letters << " producers, " << states << " states\n";
}

INSTANTIATE_TEST_SUITE_P(All, EveryProducer, ::testing::Range(std::size_t{0}, alphabet().size()));

INSTANTIATE_TEST_SUITE_P(
    All, Lane, ::testing::Combine(::testing::ValuesIn(scenarios()), ::testing::ValuesIn(deaths())),
    [](const auto& the) { return std::get<0>(the.param).name + std::get<1>(the.param).name; });

}  // namespace
}  // namespace spillway::model
