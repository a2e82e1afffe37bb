// explore: every state that a program can reach, once.
//
// Breadth first, so a counterexample is as short as can be. A state that was met before is not gone
// on from: two states are the same if memory, logs, local and durable bytes are, and then so is
// everything that can follow. States are kept as 128-bit hashes (a collision among a million states
// has a probability of about 10^-27).
//
// Two things are shown: no step ends in a Violation, and from every state the program can still
// come to its end without any crash (so nobody is stuck for ever; a loop that polls is fine).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/model/machine.h"

namespace spillway::model {

/// No scenario may grow beyond it unseen.
inline constexpr std::size_t kStatesMax = 4'000'000;

struct Outcome {
  std::string violation;           // empty: none
  std::vector<std::string> trace;  // the operations that lead to it
  std::uint64_t states = 0;
  std::uint64_t steps = 0;     // taken from all states
  std::uint64_t ends = 0;      // states in which both threads have finished
  std::vector<SiteUse> sites;  // the operations of the code under test that were met
};

[[nodiscard]] Outcome explore(Program& program, const Mutation* mutation = nullptr);

}  // namespace spillway::model
