// The memory of a stateful middle box (a NAT, a carrier's firewall): which TCP connections it knows. After
// forget() the packets of those that stand vanish without a word, both ways, for ever; a new connection is
// known by its SYN.
//
// Pure, one thread. IPv4 without fragments, as the suite's own links carry it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <tuple>

#include "system/network/link_model.h"

namespace spillway::network_test {

class FlowTable {
 public:
  /// Does this packet pass? `up`: it comes from the gateway's side, the one that opens connections.
  [[nodiscard]] bool passes(const Packet& packet, bool up) {
    constexpr std::size_t kIpBytesMin = 20;
    constexpr std::uint8_t kTcp = 6;
    constexpr std::size_t kProtocolAt = 9;
    if (packet.size() < kIpBytesMin || packet[0] >> 4U != 4 || packet[kProtocolAt] != kTcp)
      return true;
    const std::size_t tcp = static_cast<std::size_t>(packet[0] & 0x0FU) * 4;
    constexpr std::size_t kFlagsAt = 13;
    if (packet.size() <= tcp + kFlagsAt) return true;
    const auto near = read32(packet, up ? 12 : 16);
    const Flow flow{near, read16(packet, up ? tcp : tcp + 2), read16(packet, up ? tcp + 2 : tcp)};
    constexpr std::uint8_t kSyn = 0x02;
    constexpr std::uint8_t kAck = 0x10;
    const bool opens = up && (packet[tcp + kFlagsAt] & (kSyn | kAck)) == kSyn;
    if (opens) forgotten_.erase(flow);
    if (forgotten_.count(flow) != 0) return false;
    known_.insert(flow);
    return true;
  }

  void forget() {
    forgotten_.merge(known_);
    known_.clear();
  }

 private:
  using Flow =
      std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;  // near address, near port, far port

  static std::uint32_t read16(const Packet& packet, std::size_t at) {
    return static_cast<std::uint32_t>(packet[at]) << 8U | packet[at + 1];
  }
  static std::uint32_t read32(const Packet& packet, std::size_t at) {
    return read16(packet, at) << 16U | read16(packet, at + 2);
  }

  std::set<Flow> known_;
  std::set<Flow> forgotten_;
};

}  // namespace spillway::network_test
