// Sizes and durations as people write them.
#include <array>
#include <charconv>
#include <limits>
#include <span>

#include "spillway/core/config.h"

namespace spillway::core {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 6> kByteUnits{{{"", 1},
                                          {"B", 1},
                                          {"KiB", 1ULL << 10},
                                          {"MiB", 1ULL << 20},
                                          {"GiB", 1ULL << 30},
                                          {"TiB", 1ULL << 40}}};
/// As the makers of cards and disks write them: decimal.
constexpr std::array<Unit, 11> kStorageUnits{{{"", 1},
                                              {"B", 1},
                                              {"KiB", 1ULL << 10},
                                              {"MiB", 1ULL << 20},
                                              {"GiB", 1ULL << 30},
                                              {"TiB", 1ULL << 40},
                                              {"kB", 1000},
                                              {"MB", 1'000'000},
                                              {"GB", 1'000'000'000},
                                              {"TB", 1'000'000'000'000},
                                              {"PB", 1'000'000'000'000'000}}};
/// In bits: rates of links are decimal but for those with an "i".
constexpr std::array<Unit, 9> kLinkUnits{{{"bit/s", 1},
                                          {"kbit/s", 1000},
                                          {"Mbit/s", 1'000'000},
                                          {"Gbit/s", 1'000'000'000},
                                          {"B/s", 8},
                                          {"kB/s", 8000},
                                          {"MB/s", 8'000'000},
                                          {"KiB/s", 8ULL << 10},
                                          {"MiB/s", 8ULL << 20}}};
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::array<Unit, 7> kTimeUnits{{{"ns", 1},
                                          {"us", 1000},
                                          {"ms", 1'000'000},
                                          {"s", kSecond},
                                          {"m", 60 * kSecond},
                                          {"h", 3600 * kSecond},
                                          {"d", 86400 * kSecond}}};

Result<std::uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units,
                                     const char* examples) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit_name = text.substr(static_cast<std::size_t>(end - text.data()));
  if (error == std::errc{}) {
    for (const Unit& unit : units) {
      if (unit.name != unit_name) continue;
      if (number > std::numeric_limits<std::uint64_t>::max() / unit.factor) break;
      return number * unit.factor;
    }
  }
  return fail(ErrorCode::kInvalidArgument, "\"" + std::string(text) + "\" is not " + examples);
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  return parse_quantity(text, kByteUnits,
                        "a size: write a whole number with KiB, MiB or GiB, such as \"8MiB\"");
}

Result<std::uint64_t> parse_storage_bytes(std::string_view text) {
  return parse_quantity(
      text, kStorageUnits,
      "a card's size: write a whole number with MB, GB, TB, MiB, GiB or TiB, such as \"10TB\"");
}

Result<std::uint64_t> parse_link_rate(std::string_view text) {
  SPILLWAY_TRY(bits, parse_quantity(text, kLinkUnits,
                                    "a link's rate: write a whole number with kbit/s, Mbit/s, kB/s "
                                    "or KiB/s, such as \"2Mbit/s\""));
  return bits / 8;
}

Result<std::uint64_t> parse_duration_ns(std::string_view text) {
  if (text == "0") return std::uint64_t{0};
  return parse_quantity(
      text, kTimeUnits,
      "a duration: write a whole number with ms, s, m, h or d, such as \"5ms\" or \"1s\"");
}

}  // namespace spillway::core
