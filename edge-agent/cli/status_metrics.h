// The status as metrics, in the Prometheus text exposition format.
//
// Pure: what `spillway status --json` prints goes in.
#pragma once

#include <boost/json/object.hpp>
#include <string>

namespace spillway::cli {

[[nodiscard]] std::string status_metrics(const boost::json::object& status);

}  // namespace spillway::cli
