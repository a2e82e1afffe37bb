#include "tests/sim/trace.h"

#include <array>
#include <cstdio>

namespace spillway::sim {

void Trace::add_line(std::string_view who, std::string_view what, std::uint64_t a,
                     std::uint64_t b) {
  std::array<char, 32> time{};
  std::snprintf(time.data(), time.size(), "%12.6f", static_cast<double>(timeline_.now_ns()) / 1e9);
  text_.append(time.data()).append(" ").append(who).append(": ").append(what);
  if (a != 0 || b != 0) text_.append(" ").append(std::to_string(a));
  if (b != 0) text_.append(" ").append(std::to_string(b));
  text_.append("\n");
}

}  // namespace spillway::sim
