// Numbers in few bytes, for the short forms of messages: seven bits a byte, lowest first, the top
// bit set on all but the last (LEB128). Any thread; the reader trusts nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "uplink/protocol/messages.h"

namespace spillway::uplink {

inline constexpr std::size_t kVarintBytesMax = 10;

inline void put_varint(Bytes& into, std::uint64_t value) {
  while (value >= 0x80) {
    into.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  into.push_back(static_cast<std::byte>(value));
}

/// Small numbers of either sign become small ones: 0, -1, 1, -2 ... Differences wrap, so that any
/// two 64-bit numbers have one.
[[nodiscard]] constexpr std::uint64_t zigzag(std::uint64_t difference) {
  return difference << 1 ^ (0 - (difference >> 63));
}
[[nodiscard]] constexpr std::uint64_t unzigzag(std::uint64_t value) {
  return value >> 1 ^ (0 - (value & 1));
}

/// Reads from the front. After the first thing that is not there or no number, everything reads as
/// 0 and good() is false: so a caller may read a whole layout and ask once.
class VarintReader {
 public:
  explicit VarintReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  [[nodiscard]] std::uint64_t next() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < kVarintBytesMax && i < rest_.size(); ++i) {
      const auto byte = static_cast<std::uint64_t>(rest_[i]);
      // The tenth byte has room for one bit.
      if (i + 1 == kVarintBytesMax && byte > 1) break;
      value |= (byte & 0x7F) << (7 * i);
      if (byte < 0x80) {
        rest_ = rest_.subspan(i + 1);
        return value;
      }
    }
    fail();
    return 0;
  }
  [[nodiscard]] std::span<const std::byte> take(std::uint64_t bytes) {
    if (bytes > rest_.size()) {
      fail();
      return {};
    }
    const auto taken = rest_.first(static_cast<std::size_t>(bytes));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }
  [[nodiscard]] bool good() const { return good_; }

 private:
  void fail() {
    good_ = false;
    rest_ = {};
  }

  std::span<const std::byte> rest_;
  bool good_ = true;
};

}  // namespace spillway::uplink
