// spillway config check: says what is wrong with a configuration, or what will run.
#include <sys/statfs.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/encoding.h"
#include "edge-agent/cli/plan_units.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

/// The file system of the first existing parent; "unknown" where it has no name here.
std::string file_system_of(const std::string& path) {
  std::filesystem::path at(path);
  std::error_code none;
  while (!std::filesystem::exists(at, none) && at.has_relative_path()) at = at.parent_path();
  struct statfs facts {};
  if (::statfs(at.empty() ? "." : at.c_str(), &facts) != 0) return "unknown";
  switch (static_cast<std::uint32_t>(facts.f_type)) {
    case 0xEF53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x01021994:
      return "tmpfs";
    case 0x9123683E:
      return "btrfs";
    case 0x24051905:
      return "ubifs";
    case 0xF2F52010:
      return "f2fs";
    case 0x794C7630:
      return "overlayfs";
    case 0x6969:
      return "nfs";
    default:
      return "unknown";
  }
}

std::string warning_for(const std::string& file_system) {
  if (file_system == "btrfs" || file_system == "ubifs" || file_system == "overlayfs") {
    return "preallocation guarantees nothing on " + file_system +
           ": a full disk can stop the agent; use ext4, xfs or f2fs";
  }
  if (file_system == "tmpfs") return "tmpfs is gone after a power cut: nothing there is power-safe";
  if (file_system == "nfs") return "the spill must not stand on a network file system";
  return "";
}

bool is_drained(const core::Config& config, const std::string& stream) {
  return std::any_of(config.uplinks.begin(), config.uplinks.end(), [&](const auto& uplink) {
    return std::find(uplink.streams.begin(), uplink.streams.end(), stream) != uplink.streams.end();
  });
}

std::vector<std::string> warnings_for(const core::Config& config) {
  std::vector<std::string> warnings;
  if (auto warning = warning_for(file_system_of(config.gateway.spill_dir)); !warning.empty()) {
    warnings.push_back(std::move(warning));
  }
  const std::string queue_system = file_system_of(config.gateway.queue_dir);
  for (const auto& stream : config.streams) {
    if (stream.placement != core::Placement::kMemoryFirst) continue;
    if (queue_system != "tmpfs") {
      warnings.push_back("stream " + stream.name + " is memory-first, but queue_dir stands on " +
                         queue_system + ": nothing is kept off the disk; choose one on a tmpfs");
    }
    if (!is_drained(config, stream.name)) {
      warnings.push_back("stream " + stream.name + " is memory-first, but no uplink drains it: " +
                         "all of it goes to the disk; use placement = \"disk\"");
    }
  }
  return warnings;
}

json::object describe(const core::LinkConfig& link) {
  json::array windows;
  for (const auto& window : link.windows) windows.emplace_back(core::text_of(window));
  return {{"name", link.name},
          {"url", link.url},
          {"interface", link.interface},
          {"rate_limit_bytes_per_s", link.rate_limit_bytes_per_s},
          {"budget_per_day_bytes", link.budget_per_day_bytes},
          {"budget_per_month_bytes", link.budget_per_month_bytes},
          {"windows", std::move(windows)},
          {"window_times", link.windows_are_local ? "local" : "utc"}};
}

void print_link(const core::LinkConfig& link) {
  std::cout << "link      " << link.name << " -> " << link.url;
  if (!link.interface.empty()) std::cout << " by " << link.interface;
  if (link.rate_limit_bytes_per_s != 0) {
    std::cout << "; at most " << bytes_text(link.rate_limit_bytes_per_s) << "/s";
  }
  if (link.budget_per_day_bytes != 0) {
    std::cout << "; " << bytes_text(link.budget_per_day_bytes) << " a day";
  }
  if (link.budget_per_month_bytes != 0) {
    std::cout << "; " << bytes_text(link.budget_per_month_bytes) << " a month";
  }
  for (std::size_t i = 0; i < link.windows.size(); ++i) {
    std::cout << (i == 0 ? "; only " : ", ") << core::text_of(link.windows[i]);
  }
  if (!link.windows.empty()) std::cout << (link.windows_are_local ? " local time" : " UTC");
  std::cout << '\n';
}

bool is_rabbitmq(const core::EngineConfig& engine) {
  return engine.url.scheme == "amqp" || engine.url.scheme == "amqps";
}

json::object describe(const core::EngineConfig& engine) {
  json::object out{{"scheme", engine.url.scheme},
                   {"hosts", engine.url.hosts_text()},
                   {"payload", core::name_of(engine.payload)},
                   {"window_messages", engine.window_messages}};
  if (is_rabbitmq(engine)) {
    out["exchange"] = engine.rabbitmq.exchange;
    out["routing_key"] = engine.rabbitmq.routing_key;
    out["queue"] = engine.rabbitmq.queue;
  }
  return out;
}

void print_engine(const core::EngineConfig& engine) {
  std::cout << "engine    " << engine.url.hosts_text() << ": payload "
            << core::name_of(engine.payload) << ", up to " << engine.window_messages
            << " messages on their way";
  if (is_rabbitmq(engine)) {
    std::cout << "; exchange " << engine.rabbitmq.exchange << ", routing key "
              << engine.rabbitmq.routing_key;
  }
  std::cout << '\n';
}

json::object describe(const core::MqttIngestConfig& mqtt) {
  json::array maps;
  for (const auto& map : mqtt.maps) {
    maps.push_back({{"filter", map.filter},
                    {"topic", map.topic},
                    {"qos", map.qos},
                    {"level", core::name_of(map.level)}});
  }
  return {{"broker", mqtt.url.scheme + "://" + mqtt.url.hosts_text()},
          {"client_id", mqtt.client_id},
          {"maps", std::move(maps)}};
}

void print_mqtt(const core::MqttIngestConfig& mqtt) {
  for (const auto& map : mqtt.maps) {
    std::cout << "mqtt      " << mqtt.url.scheme << "://" << mqtt.url.hosts_text() << ' '
              << map.filter << " -> " << map.topic << "; QoS " << map.qos << ", "
              << core::name_of(map.level) << '\n';
  }
}

std::string name_of(const core::IceoryxMapConfig& map) {
  return map.service + "/" + map.instance + "/" + map.event;
}

json::object describe(const core::Config& config) {
  json::array streams;
  for (const auto& stream : config.streams) {
    streams.push_back(
        {{"name", stream.name},
         {"topics", json::value_from(stream.topics)},
         {"sync_interval_ns", stream.sync_interval_ns},
         {"segment_bytes", stream.segment_bytes},
         {"max_bytes", stream.max_bytes},
         {"max_age_ns", stream.max_age_ns},
         {"compress", core::name_of(stream.compress)},
         {"placement", core::name_of(stream.placement)},
         {"memory_bytes", stream.memory_bytes},
         {"memory_age_ns", stream.memory_age_ns},
         {"priority", stream.priority},
         {"weight", stream.weight},
         {"when_full",
          stream.when_full == core::WhenFull::kRejectNew ? "reject-new" : "drop-oldest"}});
  }
  json::array uplinks;
  for (const auto& uplink : config.uplinks) {
    json::array links;
    for (const auto& link : uplink.links) links.push_back(describe(link));
    uplinks.push_back({{"name", uplink.name},
                       {"url", uplink.url},
                       {"links", std::move(links)},
                       {"streams", json::value_from(uplink.streams)}});
    if (!uplink.relay.empty()) uplinks.back().as_object()["relay"] = uplink.relay;
    if (uplink.engine.used()) uplinks.back().as_object()["engine"] = describe(uplink.engine);
  }
  const std::string file_system = file_system_of(config.gateway.spill_dir);
  json::object out{{"gateway", config.gateway.name},        {"queue_dir", config.gateway.queue_dir},
                   {"spill_dir", config.gateway.spill_dir}, {"spill_file_system", file_system},
                   {"streams", std::move(streams)},         {"uplinks", std::move(uplinks)}};
  if (const auto warnings = warnings_for(config); !warnings.empty()) {
    out["warning"] = warnings.front();
    out["warnings"] = json::value_from(warnings);
  }
  json::array captures;
  for (const auto& capture : config.captures) {
    captures.push_back({{"name", capture.name},
                        {"tables", json::value_from(capture.tables)},
                        {"topic", capture.topic}});
  }
  if (!captures.empty()) out["captures"] = std::move(captures);
  if (config.consumer) {
    json::array sources;
    for (const auto& source : config.consumer->sources) {
      sources.push_back(json::value_from(source.url.scheme + "://" + source.url.hosts_text()));
    }
    out["consumer"] = {{"listen", config.consumer->listen},
                       {"inbox", config.consumer->inbox},
                       {"sources", std::move(sources)}};
  }
  if (config.iceoryx) {
    json::array maps;
    for (const auto& map : config.iceoryx->maps) {
      maps.push_back({{"event", name_of(map)}, {"topic", map.topic}});
    }
    out["iceoryx"] = std::move(maps);
  }
  if (config.mqtt) out["mqtt"] = describe(*config.mqtt);
  if (config.api) {
    out["api"] = {{"socket", config.api->socket}, {"listen", config.api->listen}};
  }
  return out;
}

void print_text(const core::Config& config) {
  const std::string file_system = file_system_of(config.gateway.spill_dir);
  std::cout << "gateway   " << config.gateway.name << '\n'
            << "queue     " << config.gateway.queue_dir << '\n'
            << "spill     " << config.gateway.spill_dir << " (" << file_system << ")\n";
  for (const auto& stream : config.streams) {
    std::cout << "stream    " << stream.name << ":";
    for (const auto& topic : stream.topics) std::cout << ' ' << topic;
    std::cout << "; up to " << bytes_text(stream.max_bytes) << ", then "
              << (stream.when_full == core::WhenFull::kRejectNew ? "reject-new" : "drop-oldest");
    if (stream.max_age_ns != 0) {
      std::cout << "; dropped when older than "
                << duration_text(static_cast<double>(stream.max_age_ns) / 1e9);
    }
    if (stream.placement == core::Placement::kMemoryFirst) {
      std::cout << "; memory-first: up to " << bytes_text(stream.memory_bytes) << " in memory";
    }
    if (stream.priority != 0) std::cout << "; priority " << stream.priority;
    if (stream.weight != 1) std::cout << "; weight " << stream.weight;
    std::cout << '\n';
  }
  for (const auto& uplink : config.uplinks) {
    std::cout << "uplink    " << uplink.name << ":";
    for (const auto& name : uplink.streams) std::cout << ' ' << name;
    if (!uplink.relay.empty()) std::cout << " every stream relayed in " << uplink.relay;
    std::cout << " -> " << uplink.links.front().url << '\n';
    if (uplink.engine.used()) print_engine(uplink.engine);
    for (const auto& link : uplink.links) print_link(link);
  }
  for (const auto& capture : config.captures) {
    std::cout << "capture   " << capture.name << ":";
    for (const auto& table : capture.tables) {
      std::cout << ' ' << table << " -> " << core::capture_topic(capture, table);
    }
    std::cout << '\n';
  }
  if (config.consumer) {
    const auto& consumer = *config.consumer;
    if (!consumer.listen.empty()) {
      std::cout << "consumer  " << consumer.listen << " -> " << consumer.inbox << '\n';
    }
    for (const auto& source : consumer.sources) {
      std::cout << "source    " << source.url.scheme << "://" << source.url.hosts_text() << " -> "
                << consumer.inbox << '\n';
    }
  }
  if (config.iceoryx) {
    for (const auto& map : config.iceoryx->maps) {
      std::cout << "iceoryx   " << name_of(map) << " -> " << map.topic << '\n';
    }
  }
  if (config.mqtt) print_mqtt(*config.mqtt);
  if (config.api) {
    std::cout << "api      ";
    for (const auto& door : {config.api->socket, config.api->listen}) {
      if (!door.empty()) std::cout << ' ' << door;
    }
    std::cout << (config.api->token_file.empty() ? "; whoever reaches it may put records\n"
                                                 : "; for the tokens of its file\n");
  }
  for (const auto& warning : warnings_for(config)) std::cout << "warning   " << warning << '\n';
}

int run_check(const std::string& path, bool as_json) {
  const auto config = core::load_config(path);
  if (!config) {
    // The question was whether it is right: no.
    if (config.error().code == core::ErrorCode::kInvalidArgument) {
      return report(kNo, config.error().message);
    }
    return report(config.error());
  }
  if (as_json) {
    std::cout << json::serialize(describe(*config)) << '\n';
  } else {
    print_text(*config);
  }
  return kDone;
}

/// The parts of a machine that run only where the configuration asks for them.
const std::map<std::string, bool (*)(const core::Config&)> kParts{
    {"uplink", [](const core::Config& config) { return !config.uplinks.empty(); }},
    {"consumer", [](const core::Config& config) { return config.consumer.has_value(); }},
    {"api", [](const core::Config& config) { return config.api.has_value(); }},
    {"capture", [](const core::Config& config) { return !config.captures.empty(); }},
    {"iceoryx", [](const core::Config& config) { return config.iceoryx.has_value(); }},
    {"mqtt", [](const core::Config& config) { return config.mqtt.has_value(); }},
};

int run_has(const std::string& part, const std::string& path) {
  const auto config = core::load_config(path);
  if (!config) return report(config.error());
  if (kParts.at(part)(*config)) return kDone;
  std::cout << path << " has no " << part << ": nothing to do\n";
  return kNo;
}

void add_has(CLI::App& config, int& exit_code) {
  auto* has = config.add_subcommand(
      "has", "Whether the configuration asks for a part; exit code 1 if it does not");
  auto part = std::make_shared<std::string>();
  auto path = std::make_shared<std::string>();
  std::set<std::string> names;
  for (const auto& [name, asks] : kParts) names.insert(name);
  has->add_option("part", *part, "which part")->required()->check(CLI::IsMember(names));
  has->add_option("file", *path, "configuration file (TOML)")->required();
  has->callback([part, path, &exit_code] { exit_code = run_has(*part, *path); });
}

}  // namespace

void add_config_command(CLI::App& app, int& exit_code) {
  auto* config = app.add_subcommand("config", "Work with the configuration");
  config->require_subcommand(1);
  auto* check = config->add_subcommand("check", "Say what is wrong, or what will run");
  auto path = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  check->add_option("file", *path, "configuration file (TOML)")->required();
  check->add_flag("--json", *as_json, "report as JSON");
  add_has(*config, exit_code);
  check->callback([path, as_json, &exit_code] { exit_code = run_check(*path, *as_json); });
}

}  // namespace spillway::cli
