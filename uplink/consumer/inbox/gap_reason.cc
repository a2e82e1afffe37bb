#include "spillway/core/format.h"
#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

std::string_view gap_reason_text(std::uint8_t reason) {
  const auto value = static_cast<format::GapReason>(reason);
  switch (value) {
    case format::GapReason::none:
      return "not held";
    case format::GapReason::quota:
      return "quota";
    case format::GapReason::age:
      return "age";
    case format::GapReason::damage:
      return "damage";
    case format::GapReason::io_error:
      return "io_error";
    case format::GapReason::rolled_back:
      return "rolled_back";
  }
  return "unknown";
}

}  // namespace spillway::consumer
