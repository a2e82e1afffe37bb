// What stands where the configuration says nothing.
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "core/config/sections.h"
#include "spillway/core/config.h"

namespace spillway::core {

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread starts
  return value == nullptr ? "" : value;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "gateway";
  return name.data();
}

std::string default_queue_dir() {
  if (::geteuid() == 0) return "/run/spillway";
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  if (!runtime.empty()) return runtime + "/spillway";
  // Where systemd makes it; if nobody did, opening it says so by name.
  return "/run/user/" + std::to_string(::geteuid()) + "/spillway";
}

std::string default_spill_dir() {
  if (::geteuid() == 0) return "/var/lib/spillway";
  const std::string state = environment("XDG_STATE_HOME");
  if (!state.empty()) return state + "/spillway";
  return environment("HOME") + "/.local/state/spillway";
}

}  // namespace

GatewayConfig default_gateway() {
  GatewayConfig gateway;
  gateway.name = host_name();
  gateway.queue_dir = default_queue_dir();
  gateway.spill_dir = default_spill_dir();
  return gateway;
}

StreamConfig default_stream() {
  StreamConfig stream;
  stream.name = "default";
  stream.topics = {"#"};
  return stream;
}

Config default_config() {
  Config config;
  config.gateway = default_gateway();
  config.streams.push_back(default_stream());
  return config;
}

}  // namespace spillway::core
