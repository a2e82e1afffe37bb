// Route: one iceoryx event and the lane that its samples go to.
//
// One thread, in the reader process, after its runtime was made.
//
// Invariants:
//  1. A sample is given back to iceoryx only when it is in the lane, or counted as not.
//  2. Where full queues hold publishers up, no sample is refused by a full lane: the route holds the
//     one that has no room, and takes no other, until the agent has made some.
#pragma once

#include <iceoryx_posh/popo/untyped_subscriber.hpp>

#include "edge-agent/ingest/iceoryx/bridge_page.h"
#include "edge-agent/ingest/iceoryx/lane_writer.h"

namespace spillway::agent::iceoryx {

class Route {
 public:
  enum class Left : std::uint8_t { kNothing, kMore, kHeldUp };

  /// Subscribes at once.
  Route(const core::IceoryxMapConfig& map, std::unique_ptr<LaneWriter> lane, MapCounters& counters);
  ~Route();
  Route(const Route&) = delete;
  Route& operator=(const Route&) = delete;

  /// Moves at most `samples_max` samples into the lane, and says what is left.
  Left drain(std::size_t samples_max);
  /// RouDi has taken the subscription away: it thinks that this process is dead.
  [[nodiscard]] bool forgotten() const;
  [[nodiscard]] iox::popo::UntypedSubscriber& subscriber() { return subscriber_; }

 private:
  /// False: it is held, for the lane has no room.
  bool pass_on(const void* payload);
  void put(std::span<const std::byte> sample);
  void say_loss(std::uint64_t lost);

  core::IceoryxMapConfig map_;
  std::unique_ptr<LaneWriter> lane_;
  MapCounters& counters_;
  iox::popo::UntypedSubscriber subscriber_;
  const void* held_ = nullptr;
  std::uint64_t loss_said_ = 0;
  std::uint64_t loss_said_at_ns_ = 0;
};

}  // namespace spillway::agent::iceoryx
