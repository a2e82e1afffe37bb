#include "edge-agent/cli/status_capture.h"

#include <array>
#include <boost/json.hpp>
#include <ostream>

#include "edge-agent/cli/status_json.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

struct Field {
  std::string_view key;
  MetricFamily family;
};
constexpr auto kCounter = MetricType::kCounter;
constexpr std::array<Field, 5> kFields{{
    {"changes", {"spillway_capture_changes_total", kCounter, "Changes taken from the source."}},
    {"records", {"spillway_capture_records_total", kCounter, "Records put into lanes."}},
    {"snapshot_rows",
     {"spillway_capture_snapshot_rows_total", kCounter, "Rows that were there at first."}},
    {"maybe_repeated",
     {"spillway_capture_maybe_repeated_total", kCounter, "Records that say so of themselves."}},
    {"lives", {"spillway_capture_lives_total", kCounter, "Times that the source was opened."}},
}};

}  // namespace

void print_captures(std::ostream& out, const json::value& status) {
  const auto* adapter = member(status, "capture");
  if (adapter == nullptr) return;
  for (const auto& capture : list(*adapter, "captures")) {
    out << "capture  " << text(capture, "name") << ": " << text(capture, "state") << ", changes "
        << number(capture, "changes") << ", records " << number(capture, "records");
    if (const auto error = text(capture, "error"); error != "-" && !error.empty()) {
      out << " (" << error << ")";
    }
    out << '\n';
  }
}

void add_captures(Exposition& out, const json::value& status) {
  const auto* adapter = member(status, "capture");
  if (adapter == nullptr) return;
  for (const auto& capture : list(*adapter, "captures")) {
    const Labels labels{{"capture", text(capture, "name")}};
    out.add({"spillway_capture_streaming", MetricType::kGauge, "1 while it follows its source."},
            labels, std::uint64_t{text(capture, "state") == "streaming" ? 1U : 0U});
    for (const Field& field : kFields) out.add(field.family, labels, number(capture, field.key));
  }
}

}  // namespace spillway::cli
