// The links of an uplink in `spillway status`: what they carry, and what they may cost. Any thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <ostream>

namespace spillway::cli {

/// What an uplink's present session gets out of its link; nothing where it has none.
void print_session(std::ostream& out, const boost::json::value& uplink);
/// A line for each link, where there is more to say than the uplink's own line does.
void print_links(std::ostream& out, const boost::json::value& uplink);
/// ", live" or what is not yet delivered of one of its streams.
void print_backlog(std::ostream& out, const boost::json::value& stream);

}  // namespace spillway::cli
