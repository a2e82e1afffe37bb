#include "edge-agent/cli/status_metrics.h"

#include <boost/json.hpp>
#include <span>

#include "edge-agent/cli/exposition.h"
#include "edge-agent/cli/status_capture.h"
#include "edge-agent/cli/status_ingest.h"
#include "edge-agent/cli/status_json.h"
#include "edge-agent/cli/status_mqtt.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;
using enum MetricType;

/// A number or a truth value of the status, and the family that it goes into.
struct Field {
  std::string_view key;
  MetricFamily family;
};

constexpr Field kStreamFields[] = {
    {"oldest_offset",
     {"spillway_stream_oldest_offset", kGauge, "Offset of the oldest record held."}},
    {"next_offset",
     {"spillway_stream_next_offset", kGauge,
      "Offset of the next record; below it all is process-safe."}},
    {"durable_offset",
     {"spillway_stream_durable_offset", kGauge, "Below this offset all is power-safe."}},
    {"held_bytes",
     {"spillway_stream_held_bytes", kGauge, "Bytes of the spill files, the spare included."}},
    {"max_bytes", {"spillway_stream_max_bytes", kGauge, "The quota."}},
    {"memory_bytes",
     {"spillway_stream_memory_bytes", kGauge, "Bytes of the spill that stand in memory alone."}},
    {"gaps", {"spillway_stream_gaps", kGauge, "Entries of the gap table."}},
    {"dropped_records",
     {"spillway_stream_dropped_records_total", kCounter,
      "Records that the gap table names as dropped or lost."}},
    {"compressing",
     {"spillway_stream_compressing", kGauge,
      "1 while blocks are compressed as they are appended."}},
    {"appended_raw_bytes",
     {"spillway_stream_appended_raw_bytes_total", kCounter, "Bytes of frames that were appended."}},
    {"appended_stored_bytes",
     {"spillway_stream_appended_stored_bytes_total", kCounter,
      "Bytes that they take as they are stored."}},
    {"compressed_blocks",
     {"spillway_stream_compressed_blocks_total", kCounter, "Blocks that were stored compressed."}},
    {"dictionaries",
     {"spillway_stream_dictionaries_total", kCounter, "Dictionaries that were trained."}},
    {"read_only",
     {"spillway_stream_read_only", kGauge,
      "1 while the file system takes no writes of the stream."}},
    {"disk_full",
     {"spillway_stream_disk_full", kGauge,
      "1 while the disk has no room for the next segment, whatever the quota says."}},
};

constexpr Field kStreamFaultFields[] = {
    {"sync_failures", {"spillway_stream_sync_failures_total", kCounter, "Syncs that failed."}},
    {"rewrites",
     {"spillway_stream_rewrites_total", kCounter,
      "Failed syncs whose records were written again and synced."}},
    {"refusals",
     {"spillway_stream_write_failures_total", kCounter,
      "Tries to write that failed, but for want of room."}},
    {"disk_full_events",
     {"spillway_stream_disk_full_events_total", kCounter, "How often the disk filled up."}},
};

constexpr Field kSpillFields[] = {
    {"read_only",
     {"spillway_spill_read_only", kGauge, "1 while the spill's file system takes no writes."}},
    {"free_bytes", {"spillway_spill_free_bytes", kGauge, "Free bytes of the spill's file system."}},
    {"total_bytes", {"spillway_spill_size_bytes", kGauge, "Size of the spill's file system."}},
    {"releases",
     {"spillway_spill_releases_total", kCounter,
      "How often the spill was let go of because of its disk."}},
    {"open_failures",
     {"spillway_spill_open_failures_total", kCounter, "Tries to open the spill that failed."}},
};

constexpr Field kLaneFields[] = {
    {"position",
     {"spillway_lane_drained_bytes_total", kCounter, "Bytes of the lane that are in the spill."}},
    {"durable",
     {"spillway_lane_durable_bytes_total", kCounter,
      "Bytes of the lane that are power-safe, as its producer was told."}},
    {"rejected",
     {"spillway_lane_rejected_records_total", kCounter, "Records that the lane had no room for."}},
    {"capacity", {"spillway_lane_capacity_bytes", kGauge, "Size of the lane's ring."}},
};

constexpr Field kCounterFields[] = {
    {"records",
     {"spillway_drained_records_total", kCounter, "Records that came out of the lanes."}},
    {"blocks", {"spillway_drained_blocks_total", kCounter, "Blocks that they came in."}},
    {"rings", {"spillway_bell_rings_total", kCounter, "How often a producer woke the agent."}},
    {"lanes_ended",
     {"spillway_lanes_ended_total", kCounter, "Lanes that were drained to their end."}},
    {"quarantined", {"spillway_lanes_quarantined_total", kCounter, "Lanes that were set aside."}},
    {"too_large",
     {"spillway_too_large_records_total", kCounter,
      "Records that were rejected, for they were larger than the segments of their stream take."}},
    {"rolled_back_lanes",
     {"spillway_rolled_back_lanes_total", kCounter,
      "Lanes that were ahead of the spill: what lay between is lost."}},
    {"rolled_back_bytes",
     {"spillway_rolled_back_bytes_total", kCounter, "Bytes of records that were lost so."}},
    {"sync_failures",
     {"spillway_sync_failures_total", kCounter, "Syncs that failed, of all streams."}},
};

constexpr Field kFlashFields[] = {
    {"enqueued_bytes",
     {"spillway_flash_enqueued_bytes_total", kCounter,
      "Bytes that came out of the lanes since the meter began."}},
    {"device_bytes",
     {"spillway_flash_device_written_bytes_total", kCounter,
      "Bytes that everybody wrote to the device since then."}},
    {"agent_bytes",
     {"spillway_flash_agent_written_bytes_total", kCounter,
      "Bytes that the agent wrote since then."}},
    {"ratio",
     {"spillway_flash_write_ratio", kGauge, "Bytes written to the device by each byte enqueued."}},
    {"measured_s",
     {"spillway_flash_measured_seconds_total", kCounter, "For how long the meter has run."}},
    {"endurance_bytes",
     {"spillway_flash_endurance_bytes", kGauge,
      "What the card may be written in its life, as configured."}},
};

constexpr Field kUplinkFields[] = {
    {"connections",
     {"spillway_uplink_connections_total", kCounter, "Times it was connected since its start."}},
    {"fenced",
     {"spillway_uplink_fenced_total", kCounter,
      "Times a newer session of this gateway took over."}},
    {"reopened",
     {"spillway_uplink_spill_reopens_total", kCounter,
      "Times the spill under it was another one."}},
    {"network_events",
     {"spillway_uplink_network_events_total", kCounter, "Links and routes that came up."}},
    {"window_bytes",
     {"spillway_uplink_window_bytes", kGauge, "What a backlog may have on its way."}},
    {"in_flight_bytes",
     {"spillway_uplink_in_flight_bytes", kGauge, "Sent and not yet acknowledged."}},
    {"link_bytes_per_s",
     {"spillway_uplink_link_bytes_per_second", kGauge, "What the link is known to carry."}},
    {"bytes_per_s", {"spillway_uplink_bytes_per_second", kGauge, "What it carries now."}},
    {"drain_s",
     {"spillway_uplink_drain_seconds", kGauge, "Until the backlog is gone, if it is known."}},
};

constexpr Field kLinkFields[] = {
    {"sent_bytes",
     {"spillway_link_sent_bytes_total", kCounter, "Bytes sent on the wire, headers included."}},
    {"received_bytes",
     {"spillway_link_received_bytes_total", kCounter, "Bytes received, headers included."}},
    {"rate_limit_bytes_per_s",
     {"spillway_link_rate_limit_bytes_per_second", kGauge, "The limit; 0: none."}},
    {"budget_per_day_bytes",
     {"spillway_link_budget_day_bytes", kGauge, "What a day may cost; 0: anything."}},
    {"spent_of_day_bytes",
     {"spillway_link_spent_day_bytes", kGauge, "What this day has cost, of a link with a budget."}},
    {"budget_per_month_bytes",
     {"spillway_link_budget_month_bytes", kGauge, "What a month may cost; 0: anything."}},
    {"spent_of_month_bytes",
     {"spillway_link_spent_month_bytes", kGauge,
      "What this month has cost, of a link with a budget."}},
};

constexpr Field kUplinkStreamFields[] = {
    {"acked_offset",
     {"spillway_uplink_acknowledged_offset", kGauge,
      "Below this offset the far end has committed all."}},
    {"sent_offset", {"spillway_uplink_sent_offset", kGauge, "Below this offset all was sent."}},
    {"live", {"spillway_uplink_stream_live", kGauge, "1 while the stream keeps up."}},
    {"backlog_records",
     {"spillway_uplink_backlog_records", kGauge, "Records held and not yet acknowledged."}},
    {"backlog_bytes",
     {"spillway_uplink_backlog_bytes", kGauge, "What they will take on the wire, about."}},
    {"refused",
     {"spillway_uplink_refused_total", kCounter,
      "Records that the far end refused and keeps as dead letters, since the uplink's start."}},
    {"dead_letters",
     {"spillway_uplink_dead_letters_total", kCounter,
      "Records that the far end refused and that are kept here, since the uplink's start."}},
};

/// What the object does not have, or what is not known, is left out.
void add_fields(Exposition& out, std::span<const Field> fields, const json::value& object,
                const Labels& labels) {
  for (const auto& [key, family] : fields) {
    const auto* found = member(object, key);
    if (found == nullptr) continue;
    if (found->is_bool()) {
      out.add(family, labels, std::uint64_t{found->get_bool() ? 1U : 0U});
    } else if (found->is_double()) {
      out.add(family, labels, found->get_double());
    } else if (found->is_number()) {
      out.add(family, labels, number(object, key));
    }
  }
}

void add_truth(Exposition& out, std::string_view name, std::string_view help, const Labels& labels,
               bool truth) {
  out.add({name, kGauge, help}, labels, std::uint64_t{truth ? 1U : 0U});
}

/// What a level is behind the one before it; `uplink`: which far end, for the level delivered.
void add_level(Exposition& out, const json::value& lag, Labels labels, const std::string& uplink) {
  if (!uplink.empty()) labels.emplace_back("uplink", uplink);
  const auto* records = member(lag, "records");
  if (records == nullptr || !records->is_number()) return;
  out.add({"spillway_stream_lag_records", kGauge, "Records that have not reached the level."},
          labels, number(lag, "records"));
  out.add({"spillway_stream_lag_seconds", kGauge, "How old the oldest of them is."}, labels,
          static_cast<double>(number(lag, "ms")) / 1000);
}

void add_lag(Exposition& out, const json::value& stream, const std::string& name) {
  const auto* lag = member(stream, "lag");
  if (lag == nullptr) return;
  for (const char* level : {"process_safe", "power_safe"}) {
    const auto* found = member(*lag, level);
    if (found != nullptr) add_level(out, *found, {{"stream", name}, {"level", level}}, "");
  }
  for (const auto& delivered : list(*lag, "delivered")) {
    add_level(out, delivered, {{"stream", name}, {"level", "delivered"}},
              text(delivered, "uplink"));
  }
}

void add_stream(Exposition& out, const json::value& stream) {
  const std::string name = text(stream, "name");
  const Labels labels{{"stream", name}};
  const std::string state = text(stream, "state");
  add_truth(out, "spillway_stream_full", "1 while the stream takes nothing for want of room.",
            labels, state == "full");
  add_truth(out, "spillway_stream_failed",
            "1 while the stream takes nothing, or calls nothing power-safe, because of its disk.",
            labels, state == "failed");
  add_fields(out, kStreamFields, stream, labels);
  add_lag(out, stream, name);
  const auto* faults = member(stream, "faults");
  if (faults == nullptr) return;
  add_fields(out, kStreamFaultFields, *faults, labels);
  const auto* journals = member(*faults, "journals");
  if (journals == nullptr || !journals->is_object()) return;
  for (const auto& entry : journals->get_object()) {
    const std::string reason(entry.key().data(), entry.key().size());
    out.add({"spillway_stream_journals_total", kCounter, "Journals that began, by reason."},
            {{"stream", name}, {"reason", reason}}, number(*journals, reason));
  }
}

void add_lane(Exposition& out, const json::value& lane) {
  const std::string path = text(lane, "path");
  const Labels labels{{"lane", path.substr(path.rfind('/') + 1)},
                      {"topic", text(lane, "topic")},
                      {"producer", text(lane, "producer")},
                      {"stream", text(lane, "stream")}};
  add_fields(out, kLaneFields, lane, labels);
}

void add_agent(Exposition& out, const json::value& agent) {
  if (const auto* gateway = member(agent, "gateway")) {
    out.add({"spillway_gateway_info", kGauge, "Who this gateway is; always 1."},
            {{"name", text(*gateway, "name")},
             {"id", text(*gateway, "id")},
             {"version", text(agent, "version")}},
            std::uint64_t{1});
    add_truth(out, "spillway_gateway_cloned",
              "1 if the spill is another machine's copy and took an id of its own.", {},
              member(*gateway, "cloned_from") != nullptr);
  }
  if (const auto* spill = member(agent, "spill")) {
    add_truth(out, "spillway_spill_open", "0 while the agent waits for its spill.", {},
              text(*spill, "state") == "open");
    add_fields(out, kSpillFields, *spill, {});
  }
  for (const auto& stream : list(agent, "streams")) add_stream(out, stream);
  for (const auto& lane : list(agent, "lanes")) add_lane(out, lane);
  out.add({"spillway_lanes", kGauge, "Lanes that are drained."}, {},
          std::uint64_t{list(agent, "lanes").size()});
  out.add({"spillway_lanes_ignored", kGauge, "Lane files that are not drained."}, {},
          std::uint64_t{list(agent, "ignored_lanes").size()});
  if (const auto* counters = member(agent, "counters")) {
    add_fields(out, kCounterFields, *counters, {});
  }
  const auto* flash = member(agent, "flash");
  if (flash == nullptr) return;
  add_fields(out, kFlashFields, *flash, {});
  if (const auto* years = member(*flash, "years_left"); years != nullptr && years->is_number()) {
    constexpr double kYearS = 365.25 * 86'400;
    out.add(
        {"spillway_flash_left_seconds", kGauge, "What is left of the card's life at this pace."},
        {}, years->to_number<double>() * kYearS);
  }
}

void add_uplink(Exposition& out, const json::value& uplink) {
  const std::string name = text(uplink, "name");
  const Labels labels{{"uplink", name}};
  add_truth(out, "spillway_uplink_connected", "1 while it is connected to its far end.", labels,
            text(uplink, "state") == "connected");
  const std::string cursor_error = text(uplink, "cursor_error");
  add_truth(out, "spillway_uplink_cursor_failed",
            "1 while cursors are kept in memory because the disk does not take them.", labels,
            cursor_error != "-" && !cursor_error.empty());
  add_fields(out, kUplinkFields, uplink, labels);
  if (const auto trip_us = number(uplink, "round_trip_us"); trip_us != 0) {
    out.add({"spillway_uplink_round_trip_seconds", kGauge, "The shortest of late."}, labels,
            static_cast<double>(trip_us) / 1e6);
  }
  for (const auto& link : list(uplink, "links")) {
    const Labels link_labels{{"uplink", name}, {"link", text(link, "name")}};
    const std::string state = text(link, "state");
    add_truth(out, "spillway_link_in_use", "1 while the uplink goes by this link.", link_labels,
              state == "in use");
    add_truth(out, "spillway_link_held_back",
              "1 while its budget is used up or its time windows are closed.", link_labels,
              state == "budget used up" || state == "outside its windows");
    add_fields(out, kLinkFields, link, link_labels);
  }
  for (const auto& stream : list(uplink, "streams")) {
    add_fields(out, kUplinkStreamFields, stream,
               {{"uplink", name}, {"stream", text(stream, "stream")}});
  }
}

void add_cursors(Exposition& out, const json::value& cursors) {
  if (!cursors.is_object()) return;
  for (const auto& entry : cursors.get_object()) {
    const std::string stream(entry.key().data(), entry.key().size());
    for (const auto& cursor : list(cursors, stream)) {
      out.add({"spillway_cursor_next_offset", kGauge, "The cursor as it stands in the spill."},
              {{"uplink", text(cursor, "uplink")}, {"stream", stream}},
              number(cursor, "next_offset"));
    }
  }
}

}  // namespace

std::string status_metrics(const json::object& object) {
  const json::value status(object);
  Exposition out;
  add_truth(out, "spillway_agent_up", "1 while an agent runs.", {}, is_true(status, "running"));
  if (const auto* agent = member(status, "agent"); agent != nullptr && agent->is_object()) {
    add_agent(out, *agent);
  }
  for (const auto& uplink : list(status, "uplinks")) add_uplink(out, uplink);
  if (const auto* cursors = member(status, "cursors")) add_cursors(out, *cursors);
  add_iceoryx(out, status);
  add_captures(out, status);
  add_mqtt(out, status);
  return out.text();
}

}  // namespace spillway::cli
