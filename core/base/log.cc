#include "spillway/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace spillway::core {

namespace {

spdlog::level::level_enum level_from(const char* wanted) {
  if (wanted == nullptr) return spdlog::level::info;
  const std::string_view name(wanted);
  if (name == "debug") return spdlog::level::debug;
  if (name == "warn") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  return spdlog::level::info;
}

}  // namespace

void start_log(const std::string& program) {
  auto logger =
      std::make_shared<spdlog::logger>(program, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  // UTC with milliseconds, program and pid, level, message.
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %n[%P] %l: %v", spdlog::pattern_time_type::utc);
  logger->set_level(level_from(std::getenv("SPILLWAY_LOG")));
  // Standard error is unbuffered, but a sink added later may not be: a killed daemon's last words
  // count.
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace spillway::core
