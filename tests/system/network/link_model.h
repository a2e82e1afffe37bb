// What becomes of a packet on one direction of a bad link, and when: the deciding half of the network
// suite's forwarder.
//
//   offer --(swallowed, too big, lost)--> nothing
//         --> queue of `queue_bytes` --(at `rate_bytes_per_s`)--> on its way for `delay_ns` +- `jitter_ns`
//         --> take
//
// Pure: time comes from the caller and never goes back, chance from a seed. One thread.
//
// Invariants:
//  1. Packets keep their order, whatever the jitter, but those that `reorder` holds back.
//  2. A path holds at most `queue_bytes` before its rate and kOnTheirWayBytesMax behind it.
//  3. New settings count from the moment they are set: what waits for a slow rate goes on at the new one.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace spillway::network_test {

using Packet = std::vector<std::uint8_t>;

struct PathSettings {
  std::uint64_t delay_ns = 0;
  std::uint64_t jitter_ns = 0;  // the delay is anything from delay - jitter to delay + jitter
  double loss = 0;              // the chance of each packet, 0..1
  double duplicate = 0;
  double reorder = 0;
  std::uint64_t hold_ns = 20'000'000;  // how much later a reordered packet comes
  std::uint64_t rate_bytes_per_s = 0;  // 0 = as fast as they come
  std::uint64_t queue_bytes = 256U << 10;
  std::uint64_t mtu_bytes = 0;  // larger ones vanish; 0 = none does
  bool hole = false;            // all vanish, those on their way, too
};

struct PathCounts {
  std::uint64_t offered = 0;
  std::uint64_t offered_bytes = 0;
  std::uint64_t swallowed = 0;
  std::uint64_t too_big = 0;
  std::uint64_t lost = 0;
  std::uint64_t queue_full = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t carried = 0;  // through the bottleneck, whole
  std::uint64_t carried_bytes = 0;
};

class Path {
 public:
  static constexpr std::uint64_t kOnTheirWayBytesMax = 64U << 20;

  explicit Path(std::uint64_t seed) : chance_(seed) {}

  void set(const PathSettings& settings, std::uint64_t now_ns);
  [[nodiscard]] const PathSettings& settings() const { return settings_; }
  void offer(Packet packet, std::uint64_t now_ns);
  /// When there is something to do for this path; nothing if it is empty.
  [[nodiscard]] std::optional<std::uint64_t> due_ns() const;
  /// The next packet that comes out by now.
  [[nodiscard]] std::optional<Packet> take(std::uint64_t now_ns);
  [[nodiscard]] const PathCounts& counts() const { return counts_; }

 private:
  [[nodiscard]] bool happens(double probability);
  void advance(std::uint64_t now_ns);
  void launch(Packet packet, std::uint64_t at_ns);
  void put_on_its_way(Packet packet, std::uint64_t due_ns);
  [[nodiscard]] std::uint64_t head_left_ns() const;

  PathSettings settings_;
  PathCounts counts_;
  std::mt19937_64 chance_;
  std::deque<Packet> queue_;
  std::uint64_t queued_bytes_ = 0;
  double head_sent_bytes_ = 0;  // of the queue's first packet
  std::uint64_t clock_ns_ = 0;  // up to when the queue was served
  std::uint64_t newest_due_ns_ = 0;
  std::multimap<std::uint64_t, Packet> on_their_way_;  // equal times keep their order
  std::uint64_t on_their_way_bytes_ = 0;
};

}  // namespace spillway::network_test
