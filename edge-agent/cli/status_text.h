// The status document as text. Whatever it holds: a file of an older or newer agent, or half a one,
// prints what is there.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace spillway::cli {

[[nodiscard]] std::string status_text(const boost::json::object& status);

}  // namespace spillway::cli
