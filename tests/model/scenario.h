// Scenarios: what a producer does with a small ring, how the agent drains it, and who may die.
//
// A scenario is data; LaneProgram (lane_program.h) plays it on the real ring headers or on a broken
// copy of them. Its records are the oracle: it knows nothing of rings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace spillway::model {

/// One thing that the producer does; it tries again when the ring is full.
struct Action {
  enum class Kind : std::uint8_t { kPut, kAbandon, kBatch, kAbandonBatch };
  Kind kind;
  std::vector<unsigned> sizes;  // of the records, in bytes
  unsigned claim = 0;           // bytes that are claimed, and scribbled over, but for kBatch
};

[[nodiscard]] inline Action put(unsigned size) { return {Action::Kind::kPut, {size}, size}; }
/// Claims more than it commits.
[[nodiscard]] inline Action put_short(unsigned claim, unsigned size) {
  return {Action::Kind::kPut, {size}, claim};
}
/// Claims, scribbles, and never commits.
[[nodiscard]] inline Action abandon(unsigned claim) { return {Action::Kind::kAbandon, {}, claim}; }
[[nodiscard]] inline Action batch(std::vector<unsigned> sizes) {
  return {Action::Kind::kBatch, std::move(sizes), 0};
}
/// Adds two records of this size to a batch that is never published.
[[nodiscard]] inline Action abandon_batch(unsigned size) {
  return {Action::Kind::kAbandonBatch, {}, size};
}

struct Scenario {
  std::string name;
  std::size_t capacity;  // of the ring, in bytes
  unsigned walk_bytes;   // the drain's bytes_max
  std::vector<Action> actions;
  bool old_bytes = false;  // all but the ring's first word looks like commit words at first
};

/// How often whom may die, at any step.
struct Deaths {
  std::string name;
  std::uint8_t producer;
  std::uint8_t agent;
};

[[nodiscard]] const std::vector<Scenario>& scenarios();
[[nodiscard]] const std::vector<Deaths>& deaths();

}  // namespace spillway::model
