// Small text files that say themselves whether they are whole: their last line is
// "check = <16 hex digits>", the XXH3-64 of all lines before it. Private to core/spill; pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spillway::core {

/// The lines, each with its '\n', and the check behind them.
[[nodiscard]] std::string with_check(const std::string& lines);
/// The lines of a whole file; nothing if the check does not fit.
[[nodiscard]] std::optional<std::string_view> without_check(std::string_view text);

/// Cuts the next line off, without its '\n'; false at the end.
[[nodiscard]] bool take_line(std::string_view& rest, std::string_view& line);

}  // namespace spillway::core
