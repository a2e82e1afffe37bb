#include "tests/sim/faults.h"

namespace spillway::sim {

const std::array<Faults::Fault, 20> Faults::kAll = {
    &Faults::cut,
    &Faults::stall,
    &Faults::lose_one_way,
    &Faults::capture,
    &Faults::kill_agent,
    &Faults::kill_uplink,
    &Faults::kill_all,
    &Faults::lose_power,
    &Faults::back_up_or_restore,
    &Faults::fill_disk,
    &Faults::fail_disk,
    &Faults::jump_clock,
    &Faults::kill_consumer,
    &Faults::kill_consumer_at_commit,
    &Faults::fill_inbox,
    &Faults::fail_inbox_once,
    &Faults::slow_inbox,
    &Faults::back_up_or_restore_inbox,
    &Faults::intrude,
    &Faults::haunt,
};

Faults::Faults(Context& context, std::vector<std::unique_ptr<Gateway>>& gateways,
               Consumer& consumer, SimInbox& inbox)
    : context_(context),
      gateways_(gateways),
      consumer_(consumer),
      inbox_(inbox),
      false_consumer_(context),
      intruder_(context, consumer.listener()),
      pause_ns_max_(context.between(500 * kMs, 3 * kSecond)) {
  const std::uint64_t share = context.between(15, 70);
  for (const Fault fault : kAll) {
    if (context.random.chance(share)) known_.push_back(fault);
  }
  if (known_.empty()) known_.push_back(&Faults::cut);
}

void Faults::start(std::uint64_t until_ns) { strike_later(until_ns); }

void Faults::strike_later(std::uint64_t until_ns) {
  context_.timeline.after(context_.between(10 * kMs, pause_ns_max_), life_, [this, until_ns] {
    if (context_.timeline.now_ns() >= until_ns) return;
    const Fault fault = known_[context_.random.below(known_.size())];
    (this->*fault)(*gateways_[context_.random.below(gateways_.size())]);
    strike_later(until_ns);
  });
}

void Faults::heal() {
  context_.trace.note("world", "heals");
  life_.reset();
  for (const auto& gateway : gateways_) gateway->heal();
  intruder_.heal();
  inbox_.set_full(false);
  consumer_.set_commit_ns(2 * kMs);
  consumer_.kill_at_commit(Consumer::Death::kNone);
}

void Faults::cut(Gateway& gateway) { gateway.path().cut(); }
void Faults::stall(Gateway& gateway) { gateway.path().stall(true, true, a_while()); }
void Faults::lose_one_way(Gateway& gateway) {
  const bool from_uplink = context_.random.chance(50);
  gateway.path().stall(from_uplink, !from_uplink, a_while());
}
void Faults::capture(Gateway& gateway) {
  gateway.path().capture(false_consumer_.listener(), a_while());
}
void Faults::kill_agent(Gateway& gateway) { gateway.kill_agent(); }
void Faults::kill_uplink(Gateway& gateway) { gateway.kill_uplink(); }
void Faults::kill_all(Gateway& gateway) { gateway.stop_soon(false); }
void Faults::lose_power(Gateway& gateway) { gateway.stop_soon(true); }
void Faults::back_up_or_restore(Gateway& gateway) {
  if (context_.random.chance(60) || !gateway.restore()) gateway.back_up();
}
void Faults::fill_disk(Gateway& gateway) { gateway.fill_disk(a_while()); }
void Faults::fail_disk(Gateway& gateway) { gateway.fail_disk(a_while()); }
void Faults::jump_clock(Gateway& gateway) { gateway.jump_clock(); }
void Faults::kill_consumer(Gateway&) { consumer_.kill(); }
void Faults::kill_consumer_at_commit(Gateway&) {
  consumer_.kill_at_commit(context_.random.chance(50) ? Consumer::Death::kBeforeCommit
                                                      : Consumer::Death::kBehindCommit);
}
void Faults::fill_inbox(Gateway&) {
  context_.trace.note("consumer", "disk full");
  inbox_.set_full(true);
  context_.timeline.after(a_while(), life_, [this] { inbox_.set_full(false); });
}
void Faults::fail_inbox_once(Gateway&) { inbox_.fail_once(); }
void Faults::slow_inbox(Gateway&) {
  context_.trace.note("consumer", "disk slow");
  consumer_.set_commit_ns(context_.between(50 * kMs, 2 * kSecond));
  // A disk that is slow and then fails meets a queue.
  if (context_.random.chance(30)) inbox_.fail_once();
  context_.timeline.after(a_while(), life_, [this] { consumer_.set_commit_ns(2 * kMs); });
}
void Faults::back_up_or_restore_inbox(Gateway&) {
  if (context_.random.chance(60)) return inbox_.back_up();
  // Only with the process down is it put back.
  consumer_.kill();
  if (inbox_.restore()) context_.trace.note("consumer", "restored");
}
void Faults::intrude(Gateway&) { intruder_.strike(); }
void Faults::haunt(Gateway& gateway) {
  if (gateway.uplink() == nullptr) return;
  send_again(context_, life_, gateway.path(), gateway.uplink()->sent());
}

}  // namespace spillway::sim
