#include "edge-agent/cli/status_text.h"

#include <array>
#include <cstdio>
#include <sstream>
#include <string_view>

#include "edge-agent/cli/encoding.h"
#include "edge-agent/cli/plan_units.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

const json::value* member(const json::value& value, std::string_view key) {
  const auto* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(key);
}

std::string text(const json::value& value, std::string_view key) {
  const auto* found = member(value, key);
  if (found == nullptr || found->is_null()) return "-";
  if (const auto* string = found->if_string()) return std::string(*string);
  return json::serialize(*found);
}

std::uint64_t number(const json::value& value, std::string_view key) {
  const auto* found = member(value, key);
  if (found == nullptr) return 0;
  if (found->is_uint64()) return found->get_uint64();
  if (found->is_int64() && found->get_int64() > 0) {
    return static_cast<std::uint64_t>(found->get_int64());
  }
  return 0;
}

const json::array& list(const json::value& value, std::string_view key) {
  static const json::array empty;
  const auto* found = member(value, key);
  const auto* array = found == nullptr ? nullptr : found->if_array();
  return array == nullptr ? empty : *array;
}

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
  if (const auto* gateway = member(*agent, "gateway")) {
    out << "gateway  " << text(*gateway, "name") << " (" << text(*gateway, "id") << ")\n";
  }
}

void print_streams(std::ostream& out, const json::value& agent) {
  for (const auto& stream : list(agent, "streams")) {
    const std::uint64_t next = number(stream, "next_offset");
    const std::uint64_t durable = number(stream, "durable_offset");
    out << "stream   " << text(stream, "name") << ": " << text(stream, "state") << ", offsets "
        << number(stream, "oldest_offset") << ".." << next << ", not yet power-safe "
        << (next > durable ? next - durable : 0) << ", " << bytes_text(number(stream, "held_bytes"))
        << " of " << bytes_text(number(stream, "max_bytes"));
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
    out << "uplink   " << text(uplink, "name") << ": " << text(uplink, "state") << ", "
        << text(uplink, "url");
    if (const auto error = text(uplink, "error"); error != "-" && !error.empty()) {
      out << " (" << error << ")";
    }
    out << '\n';
    for (const auto& stream : list(uplink, "streams")) {
      out << "         " << text(stream, "stream") << ": acknowledged to "
          << number(stream, "next_offset") << ", sent to " << number(stream, "sent_offset") << '\n';
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
    print_streams(out, *agent);
    print_lanes(out, *agent);
    print_flash(out, *agent);
  }
  print_uplinks(out, status);
  return out.str();
}

}  // namespace spillway::cli
