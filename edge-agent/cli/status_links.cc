#include "edge-agent/cli/status_links.h"

#include <boost/json.hpp>
#include <string>

#include "edge-agent/cli/encoding.h"
#include "edge-agent/cli/plan_units.h"
#include "edge-agent/cli/status_json.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

std::string rate_text(std::uint64_t bytes_per_s) { return bytes_text(bytes_per_s) + "/s"; }

std::string until_text(const json::value& from) {
  const auto until = number(from, "until_utc_ns");
  return until == 0 ? "" : " until " + utc_text(static_cast<std::int64_t>(until));
}

bool is_known(const json::value& from, std::string_view key) {
  const auto* found = member(from, key);
  return found != nullptr && found->is_number();
}

void print_budget(std::ostream& out, const json::value& link, std::string_view limit,
                  std::string_view spent, const char* name) {
  const auto bytes = number(link, limit);
  if (bytes == 0) return;
  out << "; " << bytes_text(number(link, spent)) << " of " << bytes_text(bytes) << " this " << name;
}

/// An uplink with one link that may cost what it likes has said all in its own line.
bool is_plain(const json::value& link) {
  return number(link, "rate_limit_bytes_per_s") == 0 && number(link, "budget_per_day_bytes") == 0 &&
         number(link, "budget_per_month_bytes") == 0;
}

void print_link(std::ostream& out, const std::string& uplink, const json::value& link) {
  out << "link     " << uplink << '/' << text(link, "name") << ": " << text(link, "state")
      << until_text(link);
  if (const auto interface = text(link, "interface"); interface != "-" && !interface.empty()) {
    out << ", interface " << interface;
  }
  out << ", sent " << bytes_text(number(link, "sent_bytes")) << ", received "
      << bytes_text(number(link, "received_bytes"));
  if (const auto limit = number(link, "rate_limit_bytes_per_s"); limit != 0) {
    out << "; at most " << rate_text(limit);
  }
  print_budget(out, link, "budget_per_day_bytes", "spent_of_day_bytes", "day");
  print_budget(out, link, "budget_per_month_bytes", "spent_of_month_bytes", "month");
  if (const auto error = text(link, "error"); error != "-" && !error.empty()) {
    out << " (" << error << ")";
  }
  out << '\n';
  if (const auto error = text(link, "budget_error"); error != "-" && !error.empty()) {
    out << "FAULT    link " << uplink << '/' << text(link, "name")
        << ": its budget is in memory only: " << error << '\n';
  }
}

}  // namespace

void print_session(std::ostream& out, const json::value& uplink) {
  if (text(uplink, "state") != "connected") {
    out << until_text(uplink);
    return;
  }
  if (const auto link = text(uplink, "link"); link != "-" && link != "link") {
    out << " by link " << link;
  }
  out << ", " << rate_text(number(uplink, "bytes_per_s"));
  if (const auto carries = number(uplink, "link_bytes_per_s"); carries != 0) {
    out << " of about " << rate_text(carries);
  }
  if (const auto trip = number(uplink, "round_trip_us"); trip != 0) {
    out << ", round trip " << duration_text(static_cast<double>(trip) / 1e6);
  }
  if (is_known(uplink, "drain_s") && number(uplink, "drain_s") != 0) {
    out << ", drained in " << duration_text(static_cast<double>(number(uplink, "drain_s")));
  }
}

void print_links(std::ostream& out, const json::value& uplink) {
  const auto& links = list(uplink, "links");
  if (links.size() == 1 && is_plain(links.front())) return;
  for (const auto& link : links) print_link(out, text(uplink, "name"), link);
}

void print_backlog(std::ostream& out, const json::value& stream) {
  if (is_true(stream, "live")) out << ", live";
  const auto records = number(stream, "backlog_records");
  if (records == 0) return;
  out << ", not yet delivered " << records << " records";
  if (is_known(stream, "backlog_bytes")) {
    out << ", about " << bytes_text(number(stream, "backlog_bytes")) << " on the wire";
  }
}

}  // namespace spillway::cli
