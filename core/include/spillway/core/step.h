// SPILLWAY_STEP("name"): the place right behind one store that another process sees. The fault tests
// kill the process there, at each name and at several passages of it.
//
// In the product's builds it is nothing. In a test build (SPILLWAY_STEPS) a name that is not in
// kSteps does not compile, and each passage is counted; any thread.
#pragma once

#if !defined(SPILLWAY_STEPS)

#define SPILLWAY_STEP(name) static_cast<void>(0)

#else

#include <array>
#include <cstddef>
#include <string_view>

#define SPILLWAY_STEP(name)                                                            \
  do {                                                                                 \
    constexpr std::size_t spillway_step_number = ::spillway::core::step_of(name);      \
    static_assert(spillway_step_number < ::spillway::core::kSteps.size(), "unlisted"); \
    ::spillway::core::pass_step(spillway_step_number);                                 \
  } while (false)

namespace spillway::core {

/// All of them, by side and in the order in which a lane meets them. tests/faults reads this list
/// and fails when no run reaches one.
inline constexpr std::array<std::string_view, 64> kSteps{
    // the producer: open
    "lane_file.made",
    "lane_file.mode_set",
    "lane_file.locked",
    "lane_file.reserved",
    "lane_file.fencing",
    "lane_file.header_written",
    "lane_file.named",
    // the producer: enqueue
    "ring.header_written",
    "ring.terminated",
    "ring.published",
    "ring.hidden",
    "ring.padded",
    "batch.header_written",
    "batch.padding_hidden",
    "batch.word_hidden",
    "batch.terminated",
    "batch.published",
    "producer.rejected",
    // the producer: waiting
    "producer.waiting",
    "producer.not_waiting",
    "producer.flush_wanted",
    "producer.flush_over",
    "producer.rung",
    // the producer: close
    "producer.closing",
    "lane_file.unmapped",
    "lane_file.released",
    // the agent: open
    "control.disarmed",
    "control.identified",
    "control.published",
    "drain.resumed",
    // the agent: drain
    "drain.declared",
    "drain.appended",
    "ring.consumed",
    "drain.consumed",
    "lane.event",
    "lane.woken",
    "lane.durable",
    "lane.stream_full",
    // the agent: sleep
    "control.armings",
    "control.armed",
    "control.awake",
    // the agent: removal
    "lane.locked",
    "drain.declared_closed",
    "drain.forgotten",
    "queue.removed",
    "drain.removed",
    // the agent: a bad lane
    "lane.quarantined",
    "queue.oldest_removed",
    "queue.quarantined",
    "drain.quarantined",
    // the database capture: of its own test, tests/system/capture
    "capture.page_drafted",
    "capture.page_named",
    "capture.lane_opened",
    "capture.lane_noted",
    "capture.batch_noted",
    "capture.intended",
    "capture.put",
    "capture.put_noted",
    "capture.flushed",
    "capture.saved",
    "capture.confirmed",
    "capture.turned",
    "capture.slot_intended",
    "capture.slot_made",
};

/// The name's place in kSteps; behind its end for a name that is not there.
consteval std::size_t step_of(std::string_view name) {
  for (std::size_t i = 0; i < kSteps.size(); ++i) {
    if (kSteps[i] == name) return i;
  }
  return kSteps.size();
}

/// Counts the passage, and does what the environment asks for at it: see core/base/step.cc.
void pass_step(std::size_t step);

}  // namespace spillway::core

#endif
