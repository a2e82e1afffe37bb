// How a value is said in a NATS subject.
#pragma once

#include <string>
#include <string_view>

namespace spillway::uplink {

/// Slashes become dots; what a subject's token may not hold (dots, blanks, wildcards, control characters)
/// becomes %XX, and an empty token a dash.
void write_subject_tokens(std::string_view value, std::string& subject);

}  // namespace spillway::uplink
