// A link as the window's tests model it: when what is sent arrives, and when it is acknowledged.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

namespace spillway::uplink::test {

inline constexpr std::uint64_t kMs = 1'000'000;
inline constexpr std::uint64_t kSecond = 1'000'000'000;

/// A link without loss: one bottleneck, what waits for it waits in order, jitter keeps the order.
struct LinkFacts {
  std::uint64_t bytes_per_s = 0;
  std::uint64_t one_way_ns = 0;
  std::uint64_t jitter_ns = 0;  // on each way, to both sides
  std::uint64_t commit_ns = 0;  // the far end's; it commits one batch after another
};

class ModelledLink {
 public:
  ModelledLink(LinkFacts facts, std::uint64_t seed) : facts_(facts), random_(seed) {}
  void become(LinkFacts facts) { facts_ = facts; }

  struct Way {
    std::uint64_t arrives_ns;
    std::uint64_t acknowledged_ns;
  };
  Way carry(std::uint64_t bytes, std::uint64_t now_ns) {
    const std::uint64_t begins_ns = std::max(now_ns, busy_until_ns_);
    busy_until_ns_ = begins_ns + bytes * kSecond / facts_.bytes_per_s;
    arrived_ns_ = std::max(arrived_ns_, busy_until_ns_ + way_ns());
    // What arrives while a batch is committed goes with the next one.
    if (facts_.commit_ns != 0 && arrived_ns_ > commit_begins_ns_) {
      commit_begins_ns_ = std::max(arrived_ns_, commit_begins_ns_ + facts_.commit_ns);
    }
    const std::uint64_t committed_ns = std::max(arrived_ns_, commit_begins_ns_) + facts_.commit_ns;
    acknowledged_ns_ = std::max(acknowledged_ns_, committed_ns + way_ns());
    return {arrived_ns_, acknowledged_ns_};
  }

 private:
  std::uint64_t way_ns() {
    if (facts_.jitter_ns == 0) return facts_.one_way_ns;
    return facts_.one_way_ns - facts_.jitter_ns + random_() % (2 * facts_.jitter_ns);
  }

  LinkFacts facts_;
  std::mt19937_64 random_;
  std::uint64_t busy_until_ns_ = 0;
  std::uint64_t arrived_ns_ = 0;
  std::uint64_t commit_begins_ns_ = 0;
  std::uint64_t acknowledged_ns_ = 0;
};

}  // namespace spillway::uplink::test
