#include "edge-agent/cli/encoding.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "spillway/core/utc.h"

namespace spillway::cli {

std::string hex_text(std::span<const std::byte> bytes, std::size_t bytes_max) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes.first(std::min(bytes.size(), bytes_max))) {
    text.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
  if (bytes.size() > bytes_max) text += "... (" + std::to_string(bytes.size()) + " bytes)";
  return text;
}

std::string base64_text(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < left ? std::to_integer<std::uint32_t>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text.push_back(i <= left ? kDigits[group >> (18 - 6 * i) & 63] : '=');
    }
  }
  return text;
}

std::string utc_text(std::int64_t utc_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = utc_ns / kSecond;
  std::int64_t rest = utc_ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  const std::tm parts = core::utc_calendar(seconds);
  std::array<char, 48> date{};
  if (std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts) == 0) return "-";
  std::array<char, 16> fraction{};
  static_cast<void>(
      std::snprintf(fraction.data(), fraction.size(), ".%06dZ", static_cast<int>(rest / 1000)));
  return std::string(date.data()) + fraction.data();
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s",
                                  value, kUnits[unit]));
  return text.data();
}

}  // namespace spillway::cli
