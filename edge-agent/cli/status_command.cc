// spillway status: what the agent and the uplinks of this machine do.
#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <iostream>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/status_metrics.h"
#include "edge-agent/cli/status_text.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kStatusBytesMax = 64 << 20;

/// Whether a process holds the lock; only asks, so that a starting agent is never in the way.
core::Result<bool> is_locked(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) return false;
  // Another user's agent may well be running: "no" would be a lie.
  if (descriptor < 0) {
    return core::fail_errno(errno, "cannot tell whether an agent is running: opening " + path);
  }
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool held = ::fcntl(descriptor, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  ::close(descriptor);
  return held;
}

/// An object, or null: not there, not readable, or half garbage.
json::value read_object(const std::string& path) {
  const auto bytes = core::env::read_file(core::env::posix_env(), path, kStatusBytesMax);
  if (!bytes) return nullptr;
  boost::system::error_code wrong;
  auto value = json::parse({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, wrong);
  return !wrong && value.is_object() ? value : nullptr;
}

json::array cursors_of(const core::Config& config, const std::string& stream) {
  auto& env = core::env::posix_env();
  json::array out;
  const std::string folder = config.gateway.spill_dir + "/" + stream + "/cursors";
  const auto names = env.list(folder);
  if (!names) return out;
  for (const auto& name : *names) {
    std::string path = folder;
    path += "/" + name;
    const auto position = core::Cursor::load(env, path);
    if (!position || !*position) continue;
    out.push_back({{"uplink", name},
                   {"journal", (*position)->journal.text()},
                   {"next_offset", (*position)->next_offset}});
  }
  return out;
}

/// The streams that stand in the spill directory, whether the agent runs or not.
json::object cursors(const core::Config& config) {
  json::object out;
  const auto names = core::env::posix_env().list(config.gateway.spill_dir);
  if (!names) return out;
  for (const auto& name : *names) {
    if (auto found = cursors_of(config, name); !found.empty()) out[name] = std::move(found);
  }
  return out;
}

json::array uplinks(const core::Config& config) {
  constexpr std::string_view kPrefix = "uplink-";
  constexpr std::string_view kSuffix = ".status";
  json::array out;
  const auto names = core::env::posix_env().list(config.gateway.queue_dir);
  if (!names) return out;
  for (const auto& name : *names) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    auto status = read_object(config.gateway.queue_dir + "/" + name);
    if (status.is_object()) out.push_back(std::move(status));
  }
  return out;
}

enum class StatusForm : std::uint8_t { kText, kJson, kPrometheus };

std::string in_form(const json::object& status, StatusForm form) {
  if (form == StatusForm::kJson) return json::serialize(status) + '\n';
  return form == StatusForm::kPrometheus ? status_metrics(status) : status_text(status);
}

int run_status(const Directories& directories, StatusForm form) {
  const auto config = directories.load();
  if (!config) return report(config.error());
  const auto& queue_dir = config->gateway.queue_dir;
  if (const auto there = core::env::posix_env().exists(queue_dir); !there || !*there) {
    return report(kNo, "no queue directory at " + queue_dir +
                           ": no agent has run here; start one, or give --config or --queue-dir");
  }
  const auto running = is_locked(queue_dir + "/agent.lock");
  if (!running) return report(running.error());
  json::object status{{"running", *running},
                      {"queue_dir", queue_dir},
                      {"spill_dir", config->gateway.spill_dir},
                      {"agent", read_object(queue_dir + "/agent.status")},
                      {"cursors", cursors(*config)},
                      {"uplinks", uplinks(*config)}};
  // The adapters that run here, each with its own document.
  for (const char* adapter : {"iceoryx", "api", "capture", "mqtt"}) {
    auto document = read_object(queue_dir + "/" + adapter + ".status");
    if (document.is_object()) status[adapter] = std::move(document);
  }
  std::cout << in_form(status, form);
  return *running ? kDone : kNo;
}

}  // namespace

void add_status_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "status", "Show lanes, streams and uplinks; exit code 1 if no agent is running");
  auto directories = std::make_shared<Directories>();
  auto as_json = std::make_shared<bool>(false);
  auto as_metrics = std::make_shared<bool>(false);
  directories->add_options(*command);
  auto* json_flag = command->add_flag("--json", *as_json, "report as JSON");
  command
      ->add_flag("--prometheus", *as_metrics,
                 "report as metrics in the Prometheus text exposition format")
      ->excludes(json_flag);
  command->callback([directories, as_json, as_metrics, &exit_code] {
    const auto form = *as_json      ? StatusForm::kJson
                      : *as_metrics ? StatusForm::kPrometheus
                                    : StatusForm::kText;
    exit_code = run_status(*directories, form);
  });
}

}  // namespace spillway::cli
