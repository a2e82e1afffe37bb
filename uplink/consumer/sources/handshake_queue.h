// HandshakeQueue: the connections that have not shown yet that a gateway is behind them, and which of
// them goes when there are too many: the oldest of the address that has the most. So nobody who opens
// connections and says nothing can keep others out, and a thousand gateways behind one address are
// let in all the same while there is room.
//
// Pure. One thread.
//
// Invariants:
//  1. At most `size_max` are in it.
//  2. An address that has one alone loses it only when no address has more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace spillway::consumer {

class HandshakeQueue {
 public:
  explicit HandshakeQueue(std::size_t size_max) : size_max_(size_max) {}

  /// The one that has to go for it, if there is no room.
  [[nodiscard]] std::optional<std::uint64_t> add(std::uint64_t id, const std::string& address);
  /// Done, or gone. Nothing happens if it is not in here.
  void remove(std::uint64_t id);
  [[nodiscard]] std::size_t size() const { return addresses_.size(); }

 private:
  [[nodiscard]] std::uint64_t victim() const;

  std::size_t size_max_;
  std::map<std::uint64_t, std::string> addresses_;           // by id
  std::map<std::string, std::deque<std::uint64_t>> queues_;  // by address, oldest first
};

}  // namespace spillway::consumer
