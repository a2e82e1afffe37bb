// The adapters' part of `spillway status`.
#pragma once

#include <boost/json/value.hpp>
#include <iosfwd>

#include "edge-agent/cli/exposition.h"

namespace spillway::cli {

/// `status` as run_status makes it; nothing if there is no bridge.
void print_iceoryx(std::ostream& out, const boost::json::value& status);
void print_api(std::ostream& out, const boost::json::value& status);
void add_iceoryx(Exposition& out, const boost::json::value& status);

}  // namespace spillway::cli
