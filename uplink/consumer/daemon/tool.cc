#include "uplink/consumer/daemon/tool.h"

#include <array>
#include <ctime>
#include <iostream>

#include "spillway/core/utc.h"

namespace spillway::consumer::tool {

using core::Result;

int report(int exit_code, const std::string& message) {
  std::cerr << "spillway-consumer: " << message << '\n';
  return exit_code;
}

int report(const core::Error& error) { return report(core::exit_code_of(error), error.message); }

Result<core::Config> load_with_consumer(const std::string& config) {
  SPILLWAY_TRY(loaded, core::load_config(config));
  if (!loaded.consumer) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      config + " has no [consumer] section: add one with listen and inbox");
  }
  return std::move(loaded);
}

Result<core::ConsumerConfig> load_consumer(const std::string& config) {
  SPILLWAY_TRY(loaded, load_with_consumer(config));
  return std::move(*loaded.consumer);
}

Result<InboxChoice> load_inbox_choice(const std::string& config) {
  SPILLWAY_TRY(consumer, load_consumer(config));
  return choose_inbox(consumer);
}

std::string utc_text(std::uint64_t utc_ns) {
  if (utc_ns == 0) return "-";
  const std::tm parts = core::utc_calendar(static_cast<std::int64_t>(utc_ns / 1'000'000'000));
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

}  // namespace spillway::consumer::tool
