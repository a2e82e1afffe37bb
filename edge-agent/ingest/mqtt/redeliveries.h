// Redeliveries: which messages' records stand in lanes and are not acknowledged. When a connection breaks the broker
// brings them again, and their records need not be put a second time.
//
// Pure. One thread.
//
// Invariants:
//  1. A message is known only while its acknowledgement cannot have left: until then the broker gives its packet id to
//     no other one, so that nothing new is ever taken for it.
//  2. At most as many as there are packet ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>

namespace spillway::agent::mqtt {

class Redeliveries {
 public:
  void on_put(std::uint16_t packet_id, std::string_view topic, std::span<const std::byte> payload) {
    put_[packet_id] = print_of(topic, payload);
  }
  /// Of a message of which the broker says that it comes again.
  [[nodiscard]] bool knows(std::uint16_t packet_id, std::string_view topic,
                           std::span<const std::byte> payload) const {
    const auto found = put_.find(packet_id);
    return found != put_.end() && found->second == print_of(topic, payload);
  }
  /// Acknowledgements may leave; or a lane is lost; or the session, and with it the packet ids.
  void forget() { put_.clear(); }

 private:
  static std::uint64_t print_of(std::string_view topic, std::span<const std::byte> payload) {
    constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15U;
    const std::hash<std::string_view> print;
    return print(topic) * kOdd ^
           print({reinterpret_cast<const char*>(payload.data()), payload.size()});
  }

  std::unordered_map<std::uint16_t, std::uint64_t> put_;
};

}  // namespace spillway::agent::mqtt
