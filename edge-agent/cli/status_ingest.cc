#include "edge-agent/cli/status_ingest.h"

#include <array>
#include <boost/json.hpp>
#include <ostream>

#include "edge-agent/cli/status_json.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

struct Loss {
  std::string_view key;
  std::string_view meaning;
};
/// What did not become a record, and why.
constexpr std::array<Loss, 5> kLosses{{
    {"lost", "dropped by iceoryx, whose queue was full"},
    {"rejected", "refused by a full lane"},
    {"too_large", "larger than the lane takes"},
    {"empty", "without a byte"},
    {"unseen", "sent before the bridge was there"},
}};

struct Field {
  std::string_view key;
  MetricFamily family;
};
constexpr auto kCounter = MetricType::kCounter;
constexpr std::array<Field, 8> kMapFields{{
    {"taken", {"spillway_iceoryx_samples_taken_total", kCounter, "Samples read from iceoryx."}},
    {"enqueued",
     {"spillway_iceoryx_samples_enqueued_total", kCounter, "Samples that became records."}},
    {"lost",
     {"spillway_iceoryx_samples_lost_total", kCounter,
      "Samples that iceoryx dropped because the bridge's queue was full."}},
    {"rejected",
     {"spillway_iceoryx_samples_rejected_total", kCounter, "Samples that a full lane refused."}},
    {"too_large",
     {"spillway_iceoryx_samples_too_large_total", kCounter, "Samples larger than the lane takes."}},
    {"unseen",
     {"spillway_iceoryx_samples_unseen_total", kCounter,
      "Samples that publishers had sent before the bridge was there."}},
    {"held_up",
     {"spillway_iceoryx_held_up_total", kCounter,
      "Times that a full lane held up a publisher that waits."}},
    {"publishers",
     {"spillway_iceoryx_publishers", MetricType::kGauge, "Publishers seen in this life of RouDi."}},
}};

void print_map(std::ostream& out, const json::value& map) {
  out << "         " << text(map, "service") << '/' << text(map, "instance") << '/'
      << text(map, "event") << " -> " << text(map, "topic") << ": taken " << number(map, "taken")
      << ", enqueued " << number(map, "enqueued") << '\n';
  for (const Loss& loss : kLosses) {
    if (const auto count = number(map, loss.key); count != 0) {
      out << "LOSS     " << text(map, "topic") << ": " << count << " samples " << loss.meaning
          << '\n';
    }
  }
}

}  // namespace

void print_iceoryx(std::ostream& out, const json::value& status) {
  const auto* bridge = member(status, "iceoryx");
  if (bridge == nullptr) return;
  out << "iceoryx  " << text(*bridge, "state") << ", pid " << text(*bridge, "pid")
      << ", RouDi started " << number(*bridge, "roudi_lives") << " times since";
  if (!is_true(*bridge, "roudi")) out << ", RouDi is NOT THERE";
  if (!is_true(*bridge, "roudi_answers")) out << ", RouDi HANGS: restart it and its publishers";
  if (const auto error = text(*bridge, "error"); error != "-" && !error.empty()) {
    out << " (" << error << ")";
  }
  out << '\n';
  for (const auto& map : list(*bridge, "maps")) print_map(out, map);
}

void print_api(std::ostream& out, const json::value& status) {
  const auto* api = member(status, "api");
  if (api == nullptr) return;
  out << "api      " << text(*api, "state") << ", pid " << text(*api, "pid") << ": "
      << number(*api, "requests") << " requests, " << number(*api, "accepted")
      << " records accepted, " << number(*api, "invalid") << " invalid, " << number(*api, "full")
      << " requests refused by a full lane, " << number(*api, "denied") << " without a right\n";
}

void add_iceoryx(Exposition& out, const json::value& status) {
  const auto* bridge = member(status, "iceoryx");
  if (bridge == nullptr) return;
  out.add({"spillway_iceoryx_reading", MetricType::kGauge, "1 while it reads from iceoryx."}, {},
          std::uint64_t{text(*bridge, "state") == "reading" ? 1U : 0U});
  out.add({"spillway_iceoryx_roudi_answers", MetricType::kGauge, "0 while RouDi hangs."}, {},
          std::uint64_t{is_true(*bridge, "roudi_answers") ? 1U : 0U});
  out.add({"spillway_iceoryx_roudi_lives_total", kCounter, "Starts of RouDi that it has seen."}, {},
          number(*bridge, "roudi_lives"));
  for (const auto& map : list(*bridge, "maps")) {
    const Labels labels{{"topic", text(map, "topic")},
                        {"service", text(map, "service")},
                        {"instance", text(map, "instance")},
                        {"event", text(map, "event")}};
    for (const Field& field : kMapFields) {
      out.add(field.family, labels, number(map, field.key));
    }
  }
}

}  // namespace spillway::cli
