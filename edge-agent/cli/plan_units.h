// What a person writes for `spillway plan`: rates and links with their units.
//
// Any thread.
#pragma once

#include <string>
#include <string_view>

#include "spillway/core/result.h"

namespace spillway::cli {

/// "100/s", "6000/min", "30/h", "2/d"; a number alone is a second's. Records a second.
[[nodiscard]] core::Result<double> parse_rate(std::string_view text);
/// "2Mbit/s", "250kbit/s", "1Gbit/s", "9600bit/s", "128KiB/s", "1MB/s". Bits a second.
[[nodiscard]] core::Result<double> parse_link(std::string_view text);

/// "3 d 4 h", "12 min", "45 s", "0.2 s": the two largest parts.
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace spillway::cli
