// Program: what the fuzzer's bytes say, read as one instruction after the other. Any input is a
// program: at its end every read gives 0 and `more` is false.
//
// One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace spillway::fuzz {

class Program {
 public:
  explicit Program(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  [[nodiscard]] bool more() const { return !rest_.empty(); }
  /// 0 .. below - 1.
  std::uint32_t choice(std::uint32_t below) { return byte() % below; }
  std::uint8_t byte() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::span<const std::uint8_t> bytes(std::size_t size) {
    const auto taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  template <typename T>
  T number() {
    T value = 0;
    const auto taken = bytes(sizeof value);
    if (!taken.empty()) std::memcpy(&value, taken.data(), taken.size());
    return value;
  }

  std::span<const std::uint8_t> rest_;
};

}  // namespace spillway::fuzz
