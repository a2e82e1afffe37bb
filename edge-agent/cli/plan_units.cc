#include "edge-agent/cli/plan_units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>

namespace spillway::cli {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 6> kRateUnits{{{"", 1},
                                          {"/s", 1},
                                          {"/min", 1.0 / 60},
                                          {"/m", 1.0 / 60},
                                          {"/h", 1.0 / 3600},
                                          {"/d", 1.0 / 86'400}}};
constexpr std::array<Unit, 10> kLinkUnits{{{"bit/s", 1},
                                           {"kbit/s", 1e3},
                                           {"Mbit/s", 1e6},
                                           {"Gbit/s", 1e9},
                                           {"B/s", 8},
                                           {"kB/s", 8e3},
                                           {"MB/s", 8e6},
                                           {"KiB/s", 8.0 * 1024},
                                           {"MiB/s", 8.0 * 1024 * 1024},
                                           {"GiB/s", 8.0 * 1024 * 1024 * 1024}}};

core::Result<double> parse(std::string_view text, std::span<const Unit> units, const char* wanted) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  if (error == std::errc{} && std::isfinite(number) && number > 0) {
    for (const Unit& unit : units) {
      if (unit.name == name) return number * unit.factor;
    }
  }
  return core::fail(core::ErrorCode::kInvalidArgument,
                    "\"" + std::string(text) + "\" is not " + wanted);
}

}  // namespace

core::Result<double> parse_rate(std::string_view text) {
  return parse(text, kRateUnits, "a rate: write records with /s, /min, /h or /d, such as 100/s");
}

core::Result<double> parse_link(std::string_view text) {
  return parse(text, kLinkUnits,
               "a link's rate: write a number with kbit/s, Mbit/s, Gbit/s, KiB/s or MiB/s, such as "
               "2Mbit/s");
}

std::string duration_text(double seconds) {
  constexpr std::array<Unit, 4> kParts{{{"d", 86'400}, {"h", 3600}, {"min", 60}, {"s", 1}}};
  std::array<char, 64> text{};
  if (seconds < 10) {
    std::snprintf(text.data(), text.size(), "%.3g s", seconds);
    return text.data();
  }
  double rest = std::round(seconds);
  std::string out;
  int parts = 0;
  for (const Unit& part : kParts) {
    const double count = std::floor(rest / part.factor);
    rest -= count * part.factor;
    if (count == 0 && parts == 0) continue;
    if (++parts > 2) break;
    if (count == 0) continue;
    std::snprintf(text.data(), text.size(), "%s%.0f %.*s", out.empty() ? "" : " ", count,
                  static_cast<int>(part.name.size()), part.name.data());
    out += text.data();
  }
  return out;
}

}  // namespace spillway::cli
