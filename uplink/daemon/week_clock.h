// The minute of the week, for time windows: the one place where the uplink asks the wall clock for
// something that matters.
#pragma once

#include <cstdint>

namespace spillway::uplink {

/// 0 is Monday, 00:00, in UTC or in the machine's time zone. Any thread.
[[nodiscard]] std::uint32_t minute_of_week(std::uint64_t utc_ns, bool local);

}  // namespace spillway::uplink
