// run_peer: one measurement of one peer, from the two processes to the JSON line. A peer's file
// instantiates it by registering itself.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#endif

#include "bench/harness/loops.h"
#include "bench/harness/peer.h"
#include "bench/harness/ping_pong.h"
#include "bench/harness/processes.h"

namespace spillway::bench {

/// What the part before has left is drained first.
inline constexpr unsigned kSettleUs = 20'000;

/// The receiving loop: until the stop record has come.
template <typename Receiver>
void receive_all(Receiver& receiver, SharedPage& page) {
  bool stopped = false;
  while (!stopped) {
    receiver.receive([&page, &stopped](std::span<const std::byte> record) {
      std::uint64_t stamp = 0;
      std::memcpy(&stamp, record.data(), sizeof stamp);
      if (stamp == kStopStamp)
        stopped = true;
      else if (stamp != kNoStamp)
        page.one_way.record(ticks_now() - stamp);
      page.received.store(page.received.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
    });
  }
}

template <typename Peer>
void consume(const Options& options, SharedPage& page) {
  pin_to(kConsumerCore);
  pong(page, 0);
  const auto reach = [&page](std::uint32_t step) {
    page.consumer_at.store(step, std::memory_order_release);
  };
  if constexpr (Peer::kFacts.has_receiver) {
    if (options.setup.queue.empty()) {
      // A library's own threads may run where there is room.
      let_run_on_all_cores();
      typename Peer::Receiver receiver(options.setup);
      pin_to(kConsumerCore);
      reach(1);
      wait_for_step(page.producer_at, 1);
      receiver.meet();
      reach(2);
      receive_all(receiver, page);
    }
  }
  reach(2);
  wait_for_step(page.producer_at, 2);
  reach(3);
  pong(page, kSecondBall);
}

struct Scale {
  double ns_per_tick;
  [[nodiscard]] std::uint64_t ticks(std::uint64_t ns) const {
    return static_cast<std::uint64_t>(static_cast<double>(ns) / ns_per_tick);
  }
};

template <typename Sender>
void measure_back_to_back(Sender& sender, const Facts& facts, Record record, std::uint64_t span,
                          const Scale& scale, JsonLine& json) {
  const auto result = time_back_to_back(sender, record, span);
  const double ns = static_cast<double>(result.ticks) * scale.ns_per_tick;
  const auto records = static_cast<double>(result.sends * facts.records_per_send);
  json.begin("back_to_back");
  json.add("ns", ns / records);
  json.add("records_per_s", records / ns * 1e9);
  json.add("bytes_per_s", records * static_cast<double>(record.size()) / ns * 1e9);
  json.add("refused", result.refused);
  json.end();
}

template <typename Sender>
void measure(Sender& sender, const Facts& facts, const Options& options, SharedPage& page,
             const Scale& scale, JsonLine& json) {
  std::vector<std::byte> bytes(options.setup.record_bytes, std::byte{0x5A});
  const Record record(bytes);
  const std::uint64_t span = scale.ticks(options.duration_ms * 1'000'000);
  const bool all = options.mode == "all";
  const bool drained_here = facts.has_receiver && options.setup.queue.empty();
  if (all || options.mode == "per-op" || options.mode == "paced") {
    static Timed timed;
    if (options.mode == "paced") {
      stamp(record, kNoStamp);
      time_paced(sender, record, options.count, options.hz, timed);
    } else {
      time_each(sender, record, span, scale.ticks(options.gap_ns), timed);
    }
    json.add("per_op", timed.histogram, scale.ns_per_tick);
    json.add("refused", timed.refused);
  }
  if (all) measure_back_to_back(sender, facts, record, span, scale, json);
  if (all && drained_here) {
    usleep(kSettleUs);
    send_stamped(sender, record, span, scale.ticks(kOneWayGapNs), facts.records_per_send,
                 page.received);
  }
  if (drained_here) {
    stamp(record, kStopStamp);
    std::uint64_t refused = 0;
    send_surely(sender, record, refused);
    wait_for_step(page.consumer_at, 2);
  }
  if (all && drained_here) json.add("one_way", page.one_way, scale.ns_per_tick);
}

inline void add_facts(const Facts& facts, const Options& options, JsonLine& json) {
  json.add("subject", facts.name);
  json.add("size", std::uint64_t{options.setup.record_bytes});
  json.add("settings", facts.settings);
  json.add("guarantee", facts.guarantee);
  json.add("records_per_send", std::uint64_t{facts.records_per_send});
}

template <typename Peer>
void produce(const Options& options, SharedPage& page, JsonLine& json) {
  const Scale scale{measure_ns_per_tick()};
  const double before = ping(page, 0, scale.ns_per_tick);
  const bool drained_here = Peer::kFacts.has_receiver && options.setup.queue.empty();
  if (drained_here) wait_for_step(page.consumer_at, 1);
  const std::uint64_t resident = resident_bytes();
  let_run_on_all_cores();
  {
    typename Peer::Sender sender(options.setup);
    pin_to(kProducerCore);
    page.producer_at.store(1, std::memory_order_release);
    wait_for_step(page.consumer_at, 2);
    measure(sender, Peer::kFacts, options, page, scale, json);
    json.add("memory_bytes", resident_bytes() - std::min(resident, resident_bytes()));
    page.producer_at.store(2, std::memory_order_release);
    wait_for_step(page.consumer_at, 3);
  }
  const double after = ping(page, kSecondBall, scale.ns_per_tick);
  json.begin("ping_pong");
  json.add("before", before);
  json.add("after", after);
  json.end();
}

/// For callgrind: so many sends of each producer and nothing else, nobody reading; the orchestrator
/// runs it with N and with 2 N.
template <typename Peer>
void send_counted(const Options& options, JsonLine& json) {
  std::vector<std::byte> bytes(options.setup.record_bytes, std::byte{0x5A});
  std::vector<std::unique_ptr<typename Peer::Sender>> senders;
  const auto send_all = [&] {
    for (std::uint64_t i = 0; i < options.producers; ++i) {
      senders.push_back(std::make_unique<typename Peer::Sender>(options.setup));
    }
    // In turn, by one flat loop, which costs the same however many they are.
    std::vector<typename Peer::Sender*> turns;
    for (std::uint64_t i = 0; i < options.count * options.producers; ++i) {
      turns.push_back(senders[i % options.producers].get());
    }
    std::uint64_t refused = 0;
    CALLGRIND_TOGGLE_COLLECT;
    for (auto* const sender : turns) refused += sender->send(bytes) ? 0U : 1U;
    CALLGRIND_TOGGLE_COLLECT;
    json.add("refused", refused);
  };
  if constexpr (Peer::kFacts.has_receiver) {
    const typename Peer::Receiver receiver(options.setup);
    send_all();
  } else {
    send_all();
  }
}

template <typename Peer>
void run_peer(const Options& options, JsonLine& json) {
  add_facts(Peer::kFacts, options, json);
  if (options.mode == "instructions") {
    send_counted<Peer>(options, json);
    return;
  }
  alarm(kWatchdogSeconds);
  SharedPage& page = *SharedPage::make();
  pin_to(kProducerCore);
  const pid_t child = start_child([&options, &page] { consume<Peer>(options, page); });
  produce<Peer>(options, page, json);
  wait_for_child(child);
}

template <typename Peer>
bool add_peer() {
  return add_peer(Peer::kFacts, run_peer<Peer>);
}

}  // namespace spillway::bench
