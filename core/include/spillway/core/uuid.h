// A 128-bit random id (RFC 4122 version 4): gateways, journals, boots.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spillway::core {

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  /// Made of 128 random bits; version and variant bits are set.
  [[nodiscard]] static Uuid from_random(std::uint64_t high, std::uint64_t low);
  /// Reads "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; nothing else.
  [[nodiscard]] static std::optional<Uuid> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool is_nil() const { return *this == Uuid{}; }

  auto operator<=>(const Uuid&) const = default;
};

}  // namespace spillway::core
