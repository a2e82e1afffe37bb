// Agent: one life of the agent's process on a simulated machine: the real streams and the real drain, with
// the worker's orders carried out after a while.
//
// One thread. Its destruction is its kill: nothing is closed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edge-agent/drain/drain.h"
#include "tests/sim/machine.h"
#include "tests/sim/producers.h"

namespace spillway::sim {

struct StreamPlan {
  core::StreamOptions options;
  std::uint64_t sync_interval_ns = 0;
  /// What the gateway may drop on purpose, or after an error of the disk.
  [[nodiscard]] bool may_drop() const {
    return options.when_full == core::WhenFull::kDropOldest || options.max_age_ns != 0;
  }
};

class Agent {
 public:
  Agent(Context& context, Machine& machine, Producers& producers,
        const std::vector<StreamPlan>& plans, std::function<void()> on_appended);

  void start();
  [[nodiscard]] bool runs() const { return drain_ != nullptr; }
  [[nodiscard]] const core::Stream& stream(std::size_t index) const { return *streams_[index]; }

 private:
  void open_streams();
  [[nodiscard]] core::Result<void> open_each();
  void step_later(std::uint64_t delay_ns);
  void step();
  void carry_out(agent::Order order);
  [[nodiscard]] agent::Now now() const;

  Context& context_;
  Machine& machine_;
  Producers& producers_;
  const std::vector<StreamPlan>& plans_;
  std::function<void()> on_appended_;
  std::vector<std::unique_ptr<core::Stream>> streams_;
  std::unique_ptr<agent::Drain> drain_;
  std::uint64_t nap_ns_;
  Life life_ = begin_life();
};

}  // namespace spillway::sim
