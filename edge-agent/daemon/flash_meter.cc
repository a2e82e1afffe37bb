#include "edge-agent/daemon/flash_meter.h"

#include <array>
#include <charconv>

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr double kYearS = 365.25 * 86'400;

std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now > before ? now - before : 0;
}

}  // namespace

FlashMeter::FlashMeter(std::string_view stored, const core::Uuid& boot_id,
                       const FlashReading& first, std::uint64_t now_ns)
    : boot_id_(boot_id),
      last_device_(first.device_bytes),
      device_(first.device),
      last_own_(first.own_bytes),
      last_ns_(now_ns),
      store_at_ns_(now_ns + kStoreIntervalNs) {
  if (!load(stored)) {
    totals_ = {};
    return;
  }
  // Within the boot the device's counter went on while no agent looked.
  if (stored_boot_ == boot_id && last_device_ && stored_counter_ <= *last_device_) {
    totals_.device_bytes += *last_device_ - stored_counter_;
  }
}

bool FlashMeter::load(std::string_view stored) {
  const std::array<std::pair<std::string_view, std::uint64_t*>, 5> numbers{
      {{"enqueued", &totals_.enqueued_bytes},
       {"device", &totals_.device_bytes},
       {"own", &totals_.own_bytes},
       {"measured_s", &totals_.measured_s},
       {"counter", &stored_counter_}}};
  while (!stored.empty()) {
    const std::size_t end = stored.find('\n');
    const std::size_t parting = stored.find(" = ");
    // A line without its end was cut off: half a number must not pass for one.
    if (end == std::string_view::npos || parting > end) return false;
    const std::string_view key = stored.substr(0, parting);
    const std::string_view value = stored.substr(parting + 3, end - parting - 3);
    stored.remove_prefix(end + 1);
    if (key == "boot") {
      const auto boot = core::Uuid::parse(value);
      if (!boot) return false;
      stored_boot_ = *boot;
      continue;
    }
    for (const auto& [name, into] : numbers) {
      if (name != key) continue;
      const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), *into);
      if (error != std::errc{} || stop != value.data() + value.size()) return false;
    }
  }
  return true;
}

void FlashMeter::note(const FlashReading& reading, std::uint64_t enqueued_bytes,
                      std::uint64_t now_ns) {
  read_at_ns_ = now_ns + kReadIntervalNs;
  count_device(reading);
  totals_.own_bytes += growth(last_own_, reading.own_bytes);
  totals_.enqueued_bytes += growth(last_enqueued_, enqueued_bytes);
  rest_ns_ += growth(last_ns_, now_ns);
  totals_.measured_s += rest_ns_ / kSecondNs;
  rest_ns_ %= kSecondNs;
  last_own_ = reading.own_bytes;
  last_enqueued_ = enqueued_bytes;
  last_ns_ = now_ns;
}

/// Another card, or the file system below a mount point, has a count of its own.
void FlashMeter::count_device(const FlashReading& now) {
  const bool same = now.device == device_;
  if (same && last_device_ && now.device_bytes) {
    totals_.device_bytes += growth(*last_device_, *now.device_bytes);
  }
  last_device_ = now.device_bytes;
  device_ = now.device;
}

std::string FlashMeter::store(std::uint64_t now_ns) {
  store_at_ns_ = now_ns + kStoreIntervalNs;
  const auto line = [](const char* key, std::uint64_t value) {
    return std::string(key) + " = " + std::to_string(value) + "\n";
  };
  return line("enqueued", totals_.enqueued_bytes) + line("device", totals_.device_bytes) +
         line("own", totals_.own_bytes) + line("measured_s", totals_.measured_s) +
         line("counter", last_device_.value_or(0)) + "boot = " + boot_id_.text() + "\n";
}

std::optional<double> FlashMeter::ratio() const {
  if (!last_device_ || totals_.enqueued_bytes == 0) return std::nullopt;
  return static_cast<double>(totals_.device_bytes) / static_cast<double>(totals_.enqueued_bytes);
}

std::optional<double> FlashMeter::years_left(std::uint64_t endurance_bytes) const {
  if (endurance_bytes == 0 || !last_device_ || totals_.measured_s < kMeasuredSMin) {
    return std::nullopt;
  }
  if (totals_.device_bytes == 0) return std::nullopt;  // memory, or nothing written: for ever
  const double per_s =
      static_cast<double>(totals_.device_bytes) / static_cast<double>(totals_.measured_s);
  return static_cast<double>(growth(totals_.device_bytes, endurance_bytes)) / per_s / kYearS;
}

}  // namespace spillway::agent
