// Calendar time without time_t, which ends in 2038 on 32-bit machines: a certificate, or a record of another gateway, may say
// more than this machine's C library can. Any thread.
#pragma once

#include <cstdint>
#include <ctime>

namespace spillway::core {

/// The calendar of `utc_s`, seconds since 1970 UTC (also before it), for strftime. Years beyond what
/// std::chrono knows (-32767 to 32767) come out as its limits.
[[nodiscard]] std::tm utc_calendar(std::int64_t utc_s);

/// The seconds since 1970 UTC of a valid date and time of day; its day of the week and of the year
/// do not count.
[[nodiscard]] std::int64_t utc_seconds(const std::tm& calendar);

}  // namespace spillway::core
