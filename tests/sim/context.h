// What all actors of a world share: its time, its chance, its trace, and the bug that was planted.
#pragma once

#include <string_view>

#include "core/env/sim_random.h"
#include "tests/sim/timeline.h"
#include "tests/sim/trace.h"

namespace spillway::sim {

using Random = core::env::SimRandom;

/// A bug that the simulator has to find. Planted around the product's code, never in it.
enum class Mutant : std::uint8_t {
  kNone,
  kAckBeforeCommit,  // the inbox says 'committed' when it has only taken note
  kStartFromCursor,  // the uplink begins where its cursor is, whatever the Welcome says
  kNoPositionCheck,  // the inbox applies what does not continue from its stored position
  kNoJournalRule,    // the stream goes on in its journal after a power loss
  kCursorGoesBack,   // the cursor's file falls back to what it was some seconds ago
  kCursorRunsAhead,  // the cursor says what was sent, not what was acknowledged
  kLaneReplayed,     // the agent forgets what it had consumed of a lane
  kGapKeptBack,      // the uplink does not tell what was dropped
};
inline constexpr std::size_t kMutants = 9;
[[nodiscard]] std::string_view name_of(Mutant mutant);

struct Context {
  Timeline& timeline;
  Random& random;
  Trace& trace;
  Mutant mutant = Mutant::kNone;

  /// From `least` to `most`, both included.
  [[nodiscard]] std::uint64_t between(std::uint64_t least, std::uint64_t most) const {
    return least + random.below(most - least + 1);
  }
};

}  // namespace spillway::sim
