// Pins the lane's lines to format.fbs: a change on either side that moves a field does not compile.
#include "shm/lane/lane_layout.h"

#include <cstddef>

namespace spillway::shm {

namespace {

template <typename Line, std::size_t ours, std::size_t stated>
struct Pin {
  static_assert(ours == stated, "a shared field is not where format.fbs has it");
};

// The generated fields are private. An explicit instantiation may name them all the same
// ([temp.spec]/6).
#define SPILLWAY_PIN(line, generated, field) \
  template struct Pin<line, offsetof(line, field), offsetof(format::generated, field##_)>

SPILLWAY_PIN(ProducerLine, LaneProducerLine, rejected);
SPILLWAY_PIN(ProducerLine, LaneProducerLine, flush_wanted);
SPILLWAY_PIN(ProducerLine, LaneProducerLine, waiting);
SPILLWAY_PIN(ProducerLine, LaneProducerLine, closing);
SPILLWAY_PIN(ProducerLine, LaneProducerLine, fencing);
SPILLWAY_PIN(ProducerLine, LaneProducerLine, rung);
SPILLWAY_PIN(AgentLine, LaneAgentLine, consumed);
SPILLWAY_PIN(AgentLine, LaneAgentLine, durable);
SPILLWAY_PIN(AgentLine, LaneAgentLine, event);
SPILLWAY_PIN(AgentLine, LaneAgentLine, quarantined);
SPILLWAY_PIN(AgentLine, LaneAgentLine, stream_full);
SPILLWAY_PIN(AgentLine, LaneAgentLine, refused);
SPILLWAY_PIN(AgentLine, LaneAgentLine, refused_end);
template struct Pin<format::QueueControl, kArmedOffset, offsetof(format::QueueControl, armed_)>;
template struct Pin<format::QueueControl, kArmingsOffset, offsetof(format::QueueControl, armings_)>;

#undef SPILLWAY_PIN

}  // namespace

}  // namespace spillway::shm
