// The MQTT adapter's part of `spillway status`.
#pragma once

#include <boost/json/value.hpp>
#include <iosfwd>

#include "edge-agent/cli/exposition.h"

namespace spillway::cli {

/// `status` as run_status makes it; nothing if the adapter has not shown its status.
void print_mqtt(std::ostream& out, const boost::json::value& status);
void add_mqtt(Exposition& out, const boost::json::value& status);

}  // namespace spillway::cli
