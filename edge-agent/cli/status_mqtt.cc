#include "edge-agent/cli/status_mqtt.h"

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
  std::string_view loss;  // what it means to a person, where it became no record; empty: it did
};
constexpr auto kCounter = MetricType::kCounter;
constexpr std::array<Field, 10> kMapFields{{
    {"taken",
     {"spillway_mqtt_messages_taken_total", kCounter, "Messages that the broker brought."},
     ""},
    {"enqueued",
     {"spillway_mqtt_messages_enqueued_total", kCounter, "Messages that became records."},
     ""},
    {"redelivered",
     {"spillway_mqtt_messages_redelivered_total", kCounter,
      "Messages that the broker had sent before."},
     ""},
    {"already_there",
     {"spillway_mqtt_messages_already_there_total", kCounter,
      "Of those, the ones whose records stood in the lane."},
     ""},
    {"held_up",
     {"spillway_mqtt_held_up_total", kCounter, "Times that a full lane was waited for."},
     ""},
    {"overflowed",
     {"spillway_mqtt_messages_overflowed_total", kCounter,
      "Messages of QoS 0 that met a full lane."},
     "of QoS 0 met a full lane"},
    {"too_large",
     {"spillway_mqtt_messages_too_large_total", kCounter,
      "Messages larger than the lane, or a segment, takes."},
     "larger than the lane, or a segment, takes"},
    {"empty",
     {"spillway_mqtt_messages_empty_total", kCounter, "Messages without a byte."},
     "without a byte"},
    {"bad_topic",
     {"spillway_mqtt_messages_bad_topic_total", kCounter,
      "Messages whose topic a record cannot have."},
     "with a topic that a record cannot have"},
    {"invalid",
     {"spillway_mqtt_messages_invalid_total", kCounter, "Messages that do not fit the schema."},
     "that do not fit the schema"},
}};

void print_map(std::ostream& out, const json::value& map) {
  const std::string filter = text(map, "filter");
  out << "         " << filter << " -> " << text(map, "topic") << ": taken " << number(map, "taken")
      << ", enqueued " << number(map, "enqueued");
  if (const auto there = number(map, "already_there"); there != 0) {
    out << ", " << there << " of those that came again were there";
  }
  out << '\n';
  for (const Field& field : kMapFields) {
    const auto count = number(map, field.key);
    if (field.loss.empty() || count == 0) continue;
    out << "LOSS     " << filter << ": " << count << " messages " << field.loss << '\n';
  }
}

}  // namespace

void print_mqtt(std::ostream& out, const json::value& status) {
  const auto* adapter = member(status, "mqtt");
  if (adapter == nullptr) return;
  out << "mqtt     " << text(*adapter, "broker") << " as " << text(*adapter, "client_id") << ": "
      << text(*adapter, "state") << ", pid " << text(*adapter, "pid") << ", acknowledged "
      << number(*adapter, "acknowledged");
  if (const auto lost = number(*adapter, "sessions_lost"); lost != 0) {
    out << ", the broker has LOST THE SESSION " << lost << " times";
  }
  if (const auto error = text(*adapter, "error"); error != "-" && !error.empty()) {
    out << " (" << error << ")";
  }
  out << '\n';
  for (const auto& map : list(*adapter, "maps")) print_map(out, map);
}

void add_mqtt(Exposition& out, const json::value& status) {
  const auto* adapter = member(status, "mqtt");
  if (adapter == nullptr) return;
  out.add({"spillway_mqtt_reading", MetricType::kGauge, "1 while it reads from the broker."}, {},
          std::uint64_t{text(*adapter, "state") == "reading" ? 1U : 0U});
  out.add({"spillway_mqtt_connections_total", kCounter, "Times that it has connected."}, {},
          number(*adapter, "connections"));
  out.add({"spillway_mqtt_sessions_lost_total", kCounter,
           "Times that the broker had forgotten its session."},
          {}, number(*adapter, "sessions_lost"));
  out.add({"spillway_mqtt_messages_unmapped_total", kCounter, "Messages that no map takes."}, {},
          number(*adapter, "unmapped"));
  for (const auto& map : list(*adapter, "maps")) {
    const Labels labels{{"filter", text(map, "filter")}};
    for (const Field& field : kMapFields) out.add(field.family, labels, number(map, field.key));
  }
}

}  // namespace spillway::cli
