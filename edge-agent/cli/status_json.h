// What the ways of printing a status share: reading its JSON, of which any part may be missing or of
// another kind (an older or newer agent wrote it).
//
// Any thread. No I/O.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace spillway::cli {

/// Null if it is not there.
[[nodiscard]] const boost::json::value* member(const boost::json::value& value,
                                               std::string_view key);
/// "-" if it is not there.
[[nodiscard]] std::string text(const boost::json::value& value, std::string_view key);
/// 0 if it is not there, or below 0.
[[nodiscard]] std::uint64_t number(const boost::json::value& value, std::string_view key);
[[nodiscard]] bool is_true(const boost::json::value& value, std::string_view key);
/// Empty if it is not there.
[[nodiscard]] const boost::json::array& list(const boost::json::value& value, std::string_view key);

}  // namespace spillway::cli
