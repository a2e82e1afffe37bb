#include "core/spill/checked_text.h"

#include <span>

#include "core/format/checksum.h"

namespace spillway::core {

namespace {

constexpr std::string_view kCheck = "check = ";

std::string check_line(std::string_view lines) {
  const std::uint64_t digest = xxh3(std::as_bytes(std::span(lines)), 0);
  std::string line(kCheck);
  for (int shift = 60; shift >= 0; shift -= 4) line += "0123456789abcdef"[digest >> shift & 0xF];
  return line + "\n";
}

}  // namespace

std::string with_check(const std::string& lines) { return lines + check_line(lines); }

std::optional<std::string_view> without_check(std::string_view text) {
  const std::size_t at = text.rfind(kCheck);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view lines = text.substr(0, at);
  if (text.substr(at) != check_line(lines)) return std::nullopt;
  return lines;
}

bool take_line(std::string_view& rest, std::string_view& line) {
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

}  // namespace spillway::core
