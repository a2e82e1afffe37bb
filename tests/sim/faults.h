// Faults: what befalls a world, when, by chance. Each world knows a part of all faults only: what hides
// behind one is found where that one does not come.
//
// One thread.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "tests/sim/consumer.h"
#include "tests/sim/gateway.h"
#include "tests/sim/liars.h"

namespace spillway::sim {

class Faults {
 public:
  Faults(Context& context, std::vector<std::unique_ptr<Gateway>>& gateways, Consumer& consumer,
         SimInbox& inbox);

  /// Something happens now and then, until that time.
  void start(std::uint64_t until_ns);
  /// None is left, and none comes any more.
  void heal();

 private:
  using Fault = void (Faults::*)(Gateway&);

  void strike_later(std::uint64_t until_ns);
  void cut(Gateway& gateway);
  void stall(Gateway& gateway);
  void lose_one_way(Gateway& gateway);
  void capture(Gateway& gateway);
  void kill_agent(Gateway& gateway);
  void kill_uplink(Gateway& gateway);
  void kill_all(Gateway& gateway);
  void lose_power(Gateway& gateway);
  void back_up_or_restore(Gateway& gateway);
  void fill_disk(Gateway& gateway);
  void fail_disk(Gateway& gateway);
  void jump_clock(Gateway& gateway);
  void kill_consumer(Gateway& gateway);
  void kill_consumer_at_commit(Gateway& gateway);
  void fill_inbox(Gateway& gateway);
  void fail_inbox_once(Gateway& gateway);
  void slow_inbox(Gateway& gateway);
  void back_up_or_restore_inbox(Gateway& gateway);
  void intrude(Gateway& gateway);
  void haunt(Gateway& gateway);

  static const std::array<Fault, 20> kAll;

  [[nodiscard]] std::uint64_t a_while() const { return context_.between(100 * kMs, 8 * kSecond); }

  Context& context_;
  std::vector<std::unique_ptr<Gateway>>& gateways_;
  Consumer& consumer_;
  SimInbox& inbox_;
  FalseConsumer false_consumer_;
  Intruder intruder_;
  std::vector<Fault> known_;
  std::uint64_t pause_ns_max_;
  Life life_ = begin_life();
};

}  // namespace spillway::sim
