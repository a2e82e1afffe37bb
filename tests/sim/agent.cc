#include "tests/sim/agent.h"

#include "tests/core/codec_helpers.h"

namespace spillway::sim {

Agent::Agent(Context& context, Machine& machine, Producers& producers,
             const std::vector<StreamPlan>& plans, std::function<void()> on_appended)
    : context_(context),
      machine_(machine),
      producers_(producers),
      plans_(plans),
      on_appended_(std::move(on_appended)),
      nap_ns_(context.between(20 * kMs, 300 * kMs)) {}

void Agent::start() {
  context_.timeline.after(1 * kMs, life_, [this] { machine_.run([this] { open_streams(); }); });
}

void Agent::open_streams() {
  const auto opened = open_each();
  if (!opened) {
    context_.trace.note(machine_.name(), "agent cannot open: " + opened.error().message);
    streams_.clear();
    context_.timeline.after(kSecond, life_, [this] { machine_.run([this] { open_streams(); }); });
    return;
  }
  std::vector<agent::StreamSetup> setups;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    setups.push_back(
        {streams_[i].get(), {plans_[i].options.name + "/#"}, plans_[i].sync_interval_ns});
    context_.trace.note(machine_.name(), "stream open, next, durable", streams_[i]->next_offset(),
                        streams_[i]->durable_offset());
  }
  agent::DrainOptions options;
  options.boot_id = machine_.env().boot_id();
  drain_ = std::make_unique<agent::Drain>(producers_.lanes(), std::move(setups), options);
  step_later(nap_ns_);
}

core::Result<void> Agent::open_each() {
  SPILLWAY_CHECKED(machine_.env().make_directories(Machine::kJournalPages));
  for (const StreamPlan& plan : plans_) {
    SPILLWAY_TRY(stream, core::Stream::open(machine_.env(), plan.options));
    streams_.push_back(std::move(stream));
  }
  return {};
}

void Agent::step_later(std::uint64_t delay_ns) {
  context_.timeline.after(delay_ns, life_, [this] { machine_.run([this] { step(); }); });
}

agent::Now Agent::now() const {
  agent::Now now;
  now.boottime_ns = machine_.env().boottime_ns();
  now.utc_ns = machine_.env().utc_ns();
  now.ticks.fill(now.boottime_ns);
  return now;
}

void Agent::step() {
  const auto report = drain_->step(now());
  step_later(report.more ? 1 * kMs : nap_ns_);
  if (report.records != 0) {
    context_.trace.note(machine_.name(), "drained", report.records);
    on_appended_();
  }
  for (auto& order : drain_->take_orders()) {
    const std::uint64_t delay_ns = context_.random.chance(70) ? 0 : context_.between(1, 200 * kMs);
    context_.timeline.after(delay_ns, life_, [this, order = std::move(order)] {
      machine_.run([this, &order] { carry_out(order); });
    });
  }
}

void Agent::carry_out(agent::Order order) {
  core::Result<void> outcome;
  if (const auto* training = std::get_if<core::TrainingOrder>(&order.work)) {
    // In no time: each of ten thousand worlds would train the same for tens of milliseconds.
    static const auto kDictionary = core::testing::train_dictionary(0, 1024);
    training->training->dictionary = kDictionary;
  } else {
    outcome = order.run();
  }
  if (!outcome) context_.trace.note(machine_.name(), "order failed: " + outcome.error().message);
  drain_->finish(order, outcome, now());
}

}  // namespace spillway::sim
