#include "edge-agent/cli/status_text.h"

#include <array>
#include <cstdio>
#include <sstream>
#include <string_view>

#include "edge-agent/cli/encoding.h"
#include "edge-agent/cli/plan_units.h"
#include "edge-agent/cli/status_capture.h"
#include "edge-agent/cli/status_ingest.h"
#include "edge-agent/cli/status_json.h"
#include "edge-agent/cli/status_links.h"
#include "edge-agent/cli/status_mqtt.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

void print_agent(std::ostream& out, const json::value& status) {
  const auto* running = member(status, "running");
  const bool runs = running != nullptr && running->is_bool() && running->get_bool();
  const auto* agent = member(status, "agent");
  const bool known = agent != nullptr && agent->is_object();
  if (!runs) {
    out << "agent    NOT RUNNING (nobody holds " << text(status, "queue_dir") << "/agent.lock)"
        << (known ? "; what follows is what the last one left\n" : "\n");
  }
  if (!known) return;
  if (runs)
    out << "agent    running, pid " << text(*agent, "pid") << ", version "
        << text(*agent, "version") << '\n';
  if (runs) out << "sandbox  agent: " << text(*agent, "sandbox") << '\n';
  if (const auto* gateway = member(*agent, "gateway")) {
    out << "gateway  " << text(*gateway, "name") << " (" << text(*gateway, "id") << ")";
    if (member(*gateway, "cloned_from") != nullptr) {
      out << ", a copy of " << text(*gateway, "cloned_from") << " that took an id of its own";
    }
    out << '\n';
  }
}

/// Only what is wrong: a spill that is as it should be is not worth a line.
void print_spill(std::ostream& out, const json::value& agent) {
  const auto* spill = member(agent, "spill");
  if (spill == nullptr) return;
  if (member(*spill, "waiting_for") != nullptr) {
    out << "SPILL    NOT OPEN: " << text(*spill, "waiting_for")
        << "; until it is, records stay in their lanes\n";
  }
  if (is_true(*spill, "read_only")) out << "SPILL    its file system takes no writes\n";
  if (const auto releases = number(*spill, "releases"); releases != 0) {
    out << "spill    was let go of and opened anew " << releases
        << " times since the agent started, because of its disk\n";
  }
}

/// A stream's very first journal is no event.
bool began_anew(const json::value& faults) {
  const auto* journals = member(faults, "journals");
  if (journals == nullptr || !journals->is_object()) return false;
  std::uint64_t count = 0;
  for (const auto& entry : journals->get_object()) {
    if (entry.key() != "new_stream") count += number(*journals, entry.key());
  }
  return count != 0;
}

void print_faults(std::ostream& out, const json::value& stream) {
  const std::string name = text(stream, "name");
  if (member(stream, "fault") != nullptr) {
    out << "FAULT    " << name << ": " << text(stream, "fault") << '\n';
  }
  if (is_true(stream, "disk_full")) {
    out << "FAULT    " << name << ": the disk has no room for its next segment\n";
  }
  const auto* faults = member(stream, "faults");
  if (faults == nullptr) return;
  const auto syncs = number(*faults, "sync_failures");
  const auto refusals = number(*faults, "refusals");
  const auto full = number(*faults, "disk_full_events");
  if (syncs + refusals + full != 0) {
    out << "faults   " << name << ": since the agent started " << syncs << " failed syncs ("
        << number(*faults, "rewrites") << " times written again), " << refusals
        << " failed writes, disk full " << full << " times\n";
  }
  if (member(stream, "recovery") != nullptr && began_anew(*faults)) {
    out << "journal  " << name << ": began anew: " << text(stream, "recovery") << '\n';
  }
}

std::string lag_of(const json::value& level) {
  const auto records = number(level, "records");
  const auto* at_least = member(level, "at_least");
  const bool more = at_least != nullptr && at_least->is_bool() && at_least->get_bool();
  std::string out = (more ? "at least " : "") + std::to_string(records) + " records";
  if (records != 0) out += ", " + duration_text(static_cast<double>(number(level, "ms")) / 1000);
  return out;
}

void print_lag(std::ostream& out, const json::value& stream) {
  const auto* lag = member(stream, "lag");
  if (lag == nullptr || !lag->is_object()) return;
  out << "lag      " << text(stream, "name");
  if (const auto* level = member(*lag, "process_safe")) {
    out << ": not yet process-safe " << lag_of(*level);
  }
  if (const auto* level = member(*lag, "power_safe")) {
    out << "; not yet power-safe " << lag_of(*level);
  }
  for (const auto& uplink : list(*lag, "delivered")) {
    const auto* records = member(uplink, "records");
    out << "; not yet delivered by " << text(uplink, "uplink") << ' '
        << (records == nullptr || records->is_null() ? "not known: its cursor cannot be read"
                                                     : lag_of(uplink));
  }
  out << '\n';
}

void print_streams(std::ostream& out, const json::value& agent) {
  for (const auto& stream : list(agent, "streams")) {
    const std::uint64_t next = number(stream, "next_offset");
    out << "stream   " << text(stream, "name") << ": " << text(stream, "state") << ", offsets "
        << number(stream, "oldest_offset") << ".." << next << ", "
        << bytes_text(number(stream, "held_bytes")) << " of "
        << bytes_text(number(stream, "max_bytes"));
    if (text(stream, "placement") == "memory-first") {
      out << ", memory-first: now in " << text(stream, "place");
      if (const auto bytes = number(stream, "memory_bytes"); bytes != 0) {
        out << " (" << bytes_text(bytes) << " in memory)";
      }
    }
    if (number(stream, "compressed_blocks") != 0) {
      const auto raw = static_cast<double>(number(stream, "appended_raw_bytes"));
      const auto stored = static_cast<double>(number(stream, "appended_stored_bytes"));
      std::array<char, 32> ratio{};
      std::snprintf(ratio.data(), ratio.size(), "%.1f", raw / stored);
      out << ", stored " << ratio.data() << " times smaller since the start";
    }
    if (const auto dropped = number(stream, "dropped_records"); dropped != 0) {
      out << ", dropped " << dropped;
    }
    out << '\n';
    print_lag(out, stream);
    print_faults(out, stream);
  }
}

void print_lanes(std::ostream& out, const json::value& agent) {
  for (const auto& lane : list(agent, "lanes")) {
    out << "lane     " << text(lane, "topic") << " (" << text(lane, "producer") << ", pid "
        << text(lane, "pid") << ") -> " << text(lane, "stream") << ": " << text(lane, "state")
        << ", " << bytes_text(number(lane, "position")) << " drained, rejected "
        << number(lane, "rejected") << '\n';
  }
  for (const auto& lane : list(agent, "ignored_lanes")) {
    out << "lane     " << text(lane, "path") << ": not drained: " << text(lane, "reason") << '\n';
  }
  const auto* counters = member(agent, "counters");
  if (counters == nullptr) return;
  out << "drained  " << number(*counters, "records") << " records in "
      << number(*counters, "blocks") << " blocks; lanes ended " << number(*counters, "lanes_ended")
      << ", set aside " << number(*counters, "quarantined") << ", bell rung "
      << number(*counters, "rings") << '\n';
  if (const auto large = number(*counters, "too_large"); large != 0) {
    out << "LOSS     " << large
        << " records were larger than the segments of their stream take: raise segment_bytes\n";
  }
  if (const auto lost = number(*counters, "rolled_back_lanes"); lost != 0) {
    out << "LOSS     " << lost
        << " lanes were ahead of the spill at start: " << number(*counters, "rolled_back_bytes")
        << " bytes of records are lost\n";
  }
}

void print_flash(std::ostream& out, const json::value& agent) {
  const auto* flash = member(agent, "flash");
  if (flash == nullptr) return;
  const auto real = [flash](std::string_view key) -> std::string {
    const auto* found = member(*flash, key);
    if (found == nullptr || !found->is_number()) return "";
    std::array<char, 32> digits{};
    std::snprintf(digits.data(), digits.size(), "%.3g", found->to_number<double>());
    return digits.data();
  };
  out << "flash    enqueued " << bytes_text(number(*flash, "enqueued_bytes")) << "; written ";
  const auto* device = member(*flash, "device_bytes");
  if (device == nullptr || device->is_null()) {
    out << "to the device: not known here";
  } else {
    out << bytes_text(number(*flash, "device_bytes")) << " to the device by everybody";
    if (const auto ratio = real("ratio"); !ratio.empty()) out << ", " << ratio << " times as much";
  }
  out << " (" << bytes_text(number(*flash, "agent_bytes")) << " by the agent), in "
      << duration_text(static_cast<double>(number(*flash, "measured_s")));
  if (const auto endurance = number(*flash, "endurance_bytes"); endurance != 0) {
    const auto years = real("years_left");
    out << "; " << (years.empty() ? "years left: not known yet" : years + " years left") << " of "
        << bytes_text(endurance);
  }
  out << '\n';
}

void print_uplinks(std::ostream& out, const json::value& status) {
  for (const auto& uplink : list(status, "uplinks")) {
    out << "uplink   " << text(uplink, "name") << ": " << text(uplink, "state");
    print_session(out, uplink);
    out << ", " << text(uplink, "url");
    if (const auto error = text(uplink, "error"); error != "-" && !error.empty()) {
      out << " (" << error << ")";
    }
    out << '\n';
    if (const auto sandbox = text(uplink, "sandbox"); sandbox != "-") {
      out << "sandbox  uplink " << text(uplink, "name") << ": " << sandbox << '\n';
    }
    if (const auto cursor = text(uplink, "cursor_error"); cursor != "-" && !cursor.empty()) {
      out << "FAULT    uplink " << text(uplink, "name")
          << ": its cursors are in memory only: " << cursor << '\n';
    }
    if (const auto fenced = number(uplink, "fenced"); fenced != 0) {
      out << "FENCED   uplink " << text(uplink, "name") << ": " << fenced
          << " times a newer session of this gateway took over: does another machine have its "
             "id?\n";
    }
    print_links(out, uplink);
    for (const auto& stream : list(uplink, "streams")) {
      out << "         " << text(stream, "stream") << ": acknowledged to "
          << number(stream, "acked_offset") << ", sent to " << number(stream, "sent_offset");
      print_backlog(out, stream);
      out << '\n';
      if (number(stream, "refused") + number(stream, "dead_letters") == 0) continue;
      out << "REFUSED  " << text(stream, "stream") << ": " << number(stream, "refused")
          << " records are dead letters at the far end, " << number(stream, "dead_letters")
          << " here (spillway dead list); the latest: " << text(stream, "refused_reason") << '\n';
    }
  }
  const auto* cursors = member(status, "cursors");
  if (cursors == nullptr || !cursors->is_object()) return;
  for (const auto& [stream, positions] : cursors->get_object()) {
    const auto* array = positions.if_array();
    if (array == nullptr) continue;
    for (const auto& cursor : *array) {
      out << "cursor   " << text(cursor, "uplink") << " in "
          << std::string_view(stream.data(), stream.size()) << ": " << number(cursor, "next_offset")
          << '\n';
    }
  }
}

}  // namespace

std::string status_text(const json::object& object) {
  const json::value status(object);
  std::ostringstream out;
  print_agent(out, status);
  if (const auto* agent = member(status, "agent"); agent != nullptr && agent->is_object()) {
    print_spill(out, *agent);
    print_streams(out, *agent);
    print_lanes(out, *agent);
    print_flash(out, *agent);
  }
  print_uplinks(out, status);
  print_iceoryx(out, status);
  print_api(out, status);
  print_captures(out, status);
  print_mqtt(out, status);
  return out.str();
}

}  // namespace spillway::cli
