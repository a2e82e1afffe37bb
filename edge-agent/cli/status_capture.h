// The database capture's part of `spillway status`.
#pragma once

#include <boost/json/value.hpp>
#include <iosfwd>

#include "edge-agent/cli/exposition.h"

namespace spillway::cli {

/// `status` as run_status makes it; nothing if no capture has shown its status.
void print_captures(std::ostream& out, const boost::json::value& status);
void add_captures(Exposition& out, const boost::json::value& status);

}  // namespace spillway::cli
