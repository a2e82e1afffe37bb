#include "edge-agent/daemon/status_file.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <optional>

#include "edge-agent/daemon/fault_status.h"
#include "spillway/core/sandbox.h"
#include "spillway/core/schema.h"

namespace spillway::agent {
namespace {

namespace json = boost::json;

const char* state_of(const Lane& lane) {
  if (!lane.stream) return "unmatched";
  if (lane.waiting) return "waiting";
  return lane.gone ? "ending" : "draining";
}

json::object gateway_json(const AgentFacts& facts) {
  json::object gateway{{"id", facts.gateway.id.text()}, {"name", facts.gateway_name}};
  if (!facts.gateway.cloned_from.is_nil()) {
    gateway["cloned_from"] = facts.gateway.cloned_from.text();
  }
  return gateway;
}

json::object stream_json(const core::Stream& stream, bool full, bool failed) {
  std::uint64_t dropped = 0;
  for (const auto& gap : stream.gaps().all()) dropped += gap.count();
  json::object out{
      {"name", stream.options().name},       {"state", failed ? "failed" : full ? "full" : "ok"},
      {"journal", stream.journal().text()},  {"oldest_offset", stream.oldest_offset()},
      {"next_offset", stream.next_offset()}, {"durable_offset", stream.durable_offset()},
      {"held_bytes", stream.held_bytes()},   {"max_bytes", stream.options().max_bytes},
      {"gaps", stream.gaps().all().size()},  {"dropped_records", dropped},
  };
  const auto& compression = stream.compression();
  out["compressing"] = stream.compresses();
  out["appended_raw_bytes"] = compression.raw_bytes;
  out["appended_stored_bytes"] = compression.stored_bytes;
  out["compressed_blocks"] = compression.compressed_blocks;
  out["dictionaries"] = compression.dictionaries;
  out["placement"] = core::name_of(stream.options().placement);
  out["place"] = core::name_of(stream.place());
  out["memory_bytes"] = stream.memory_bytes();
  if (!stream.recovery().reason.empty()) out["recovery"] = stream.recovery().reason;
  return out;
}

constexpr std::uint64_t kNsPerMs = 1'000'000;

json::object lag_json(const LevelLag& lag) {
  return {{"records", lag.records}, {"ms", lag.age_ns / kNsPerMs}};
}

/// Of each level behind the one before it; `delivered` is null where a cursor cannot be read.
json::object lag_json(const StreamLag& lag) {
  json::array delivered;
  for (const DeliveredLag& one : lag.delivered) {
    json::object entry =
        one.lag ? lag_json(*one.lag) : json::object{{"records", nullptr}, {"ms", nullptr}};
    entry["uplink"] = one.uplink;
    delivered.push_back(std::move(entry));
  }
  const LaneLag& lanes = lag.process_safe;
  return {{"process_safe",
           {{"records", lanes.records},
            {"bytes", lanes.bytes},
            {"ms", lanes.age_ns / kNsPerMs},
            {"at_least", lanes.at_least}}},
          {"power_safe", lag_json(lag.power_safe)},
          {"delivered", std::move(delivered)}};
}

json::object lane_json(const Lane& lane,
                       const std::vector<std::unique_ptr<core::Stream>>& streams) {
  const auto& identity = lane.reader->identity();
  json::object out{
      {"topic", lane.topic},
      {"producer", lane.producer},
      {"pid", identity.pid()},
      {"uid", lane.uid},
      {"state", state_of(lane)},
      {"position", lane.reader->position()},
      {"durable", lane.durable},
      {"rejected", lane.reader->rejected()},
      {"capacity", lane.reader->capacity()},
      {"path", lane.path},
  };
  if (lane.stream) out["stream"] = streams[*lane.stream]->options().name;
  if (const std::uint64_t fingerprint = identity.schema_fingerprint(); fingerprint != 0) {
    out["schema"] = core::fingerprint_text(fingerprint);
    out["schema_in_spill"] = lane.stream && streams[*lane.stream]->has_schema(fingerprint);
  }
  return out;
}

/// `device_bytes` null: the spill stands on no device that counts its writes.
json::object flash_json(const FlashMeter& flash, std::uint64_t endurance_bytes) {
  const auto or_null = [](const auto& value) {
    return value ? json::value(*value) : json::value(nullptr);
  };
  const FlashTotals& totals = flash.totals();
  const auto device = flash.device_known() ? std::optional(totals.device_bytes) : std::nullopt;
  json::object out{
      {"enqueued_bytes", totals.enqueued_bytes}, {"device_bytes", or_null(device)},
      {"agent_bytes", totals.own_bytes},         {"ratio", or_null(flash.ratio())},
      {"measured_s", totals.measured_s},
  };
  if (endurance_bytes != 0) {
    out["endurance_bytes"] = endurance_bytes;
    out["years_left"] = or_null(flash.years_left(endurance_bytes));
  }
  return out;
}

json::object counters_json(const DrainCounters& counters, std::uint64_t rings) {
  return {
      {"records", counters.records},
      {"blocks", counters.blocks},
      {"rings", rings},
      {"lanes_ended", counters.lanes_ended},
      {"quarantined", counters.quarantined},
      {"too_large", counters.too_large},
      {"rolled_back_lanes", counters.rolled_back_lanes},
      {"rolled_back_bytes", counters.rolled_back_bytes},
      {"sync_failures", counters.sync_failures},
  };
}

}  // namespace

std::string render_status(const AgentFacts& facts,
                          const std::vector<std::unique_ptr<core::Stream>>& streams,
                          const Drain* drain, std::uint64_t rings, const FlashMeter* flash,
                          const FaultLedger& ledger, const Now& now) {
  const auto lags = drain == nullptr ? std::vector<StreamLag>{} : measure_lag(streams, *drain, now);
  json::array stream_list;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (!streams[i]) continue;
    auto stream = stream_json(*streams[i], drain->stream_full(i), drain->stream_failed(i));
    stream["lag"] = lag_json(lags[i]);
    const StreamTrouble& trouble = drain->trouble(i);
    add_faults(stream, streams[i]->faults(), trouble, ledger.totals(*streams[i], trouble));
    stream_list.push_back(std::move(stream));
  }
  for (const auto& [name, why] : ledger.away) stream_list.push_back(away_json(name, why, ledger));
  json::array lane_list;
  for (std::size_t i = 0; drain != nullptr && i < drain->lanes().size(); ++i) {
    lane_list.push_back(lane_json(drain->lanes().at(i), streams));
  }
  json::array ignored;
  if (drain != nullptr) {
    for (const auto& [path, entry] : drain->ignored()) {
      ignored.push_back({{"path", path}, {"reason", entry.reason}});
    }
  }
  json::object document{
      {"pid", ::getpid()},
      {"version", SPILLWAY_VERSION},
      {"sandbox", core::sandbox_in_force().text()},
      {"gateway", gateway_json(facts)},
      {"queue_dir", facts.queue_dir},
      {"spill_dir", facts.spill_dir},
      {"boot_id", facts.boot_id.text()},
      {"started_boottime_ns", facts.started_boottime_ns},
      {"streams", std::move(stream_list)},
      {"lanes", std::move(lane_list)},
      {"ignored_lanes", std::move(ignored)},
      {"spill", spill_json(ledger)},
      {"counters", counters_json(drain != nullptr ? drain->counters() : ledger.drained, rings)},
  };
  if (flash != nullptr) document["flash"] = flash_json(*flash, facts.flash_endurance_bytes);
  return json::serialize(document);
}

core::Result<void> StatusFile::write(const std::string& text, std::uint64_t now_ns) {
  due_at_ns_ = now_ns + kIntervalNs;
  if (text == last_) return {};
  const std::string next = path_ + ".next";
  static_cast<void>(env_.remove(next));  // a leftover of a killed agent
  {
    SPILLWAY_TRY(file, env_.open(next, core::env::OpenMode::kCreateNew));
    SPILLWAY_CHECKED(file->write(0, std::as_bytes(std::span(text))));
  }
  SPILLWAY_CHECKED(env_.rename(next, path_));
  last_ = text;
  return {};
}

}  // namespace spillway::agent
