// FlashMeter: how much of a card's life the records take: bytes enqueued, bytes that went to the
// device, and the years that are left of a stated endurance. Kept in <spill_dir>/flash, on the card
// that it speaks of.
//
// Drain thread. A plain state machine: it is given the counters and the time, and says when its file
// is to be stored.
//
// Invariants:
//  1. Totals never go back, whatever the counters do (another boot, another device).
//  2. The file is stored at most once in kStoreIntervalNs and at a clean stop: counting flash writes
//     must not be what wears the flash. Later, while every stream stands in memory. A kill loses at most that much of the count, and of the
//     device's nothing within one boot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "edge-agent/daemon/flash_counters.h"
#include "spillway/core/uuid.h"

namespace spillway::agent {

struct FlashTotals {
  std::uint64_t enqueued_bytes = 0;  // frames that came out of the lanes
  std::uint64_t device_bytes = 0;    // written to the device by everybody
  std::uint64_t own_bytes = 0;       // written by the agent, by the kernel's account of it
  std::uint64_t measured_s = 0;      // for how long this was counted
};

inline constexpr const char* kFlashName = "flash";  // in the spill directory

class FlashMeter {
 public:
  static constexpr std::uint64_t kReadIntervalNs = 10'000'000'000;
  static constexpr std::uint64_t kStoreIntervalNs = 3'600'000'000'000;
  /// Sooner a rate says nothing about years.
  static constexpr std::uint64_t kMeasuredSMin = 3600;

  /// `stored` is the file's text; empty: there is none yet. What cannot be read counts as none.
  FlashMeter(std::string_view stored, const core::Uuid& boot_id, const FlashReading& first,
             std::uint64_t now_ns);

  [[nodiscard]] bool reading_due(std::uint64_t now_ns) const { return now_ns >= read_at_ns_; }
  /// `enqueued_bytes` since the agent's start.
  void note(const FlashReading& reading, std::uint64_t enqueued_bytes, std::uint64_t now_ns);

  [[nodiscard]] bool store_due(std::uint64_t now_ns) const { return now_ns >= store_at_ns_; }
  /// The file's text; the next one is due an interval later.
  [[nodiscard]] std::string store(std::uint64_t now_ns);

  [[nodiscard]] const FlashTotals& totals() const { return totals_; }
  /// False: the directory stands on no device that counts.
  [[nodiscard]] bool device_known() const { return last_device_.has_value(); }
  [[nodiscard]] std::optional<double> ratio() const;
  /// At the pace so far. Nothing without an endurance, a device or an hour of measuring.
  [[nodiscard]] std::optional<double> years_left(std::uint64_t endurance_bytes) const;

 private:
  [[nodiscard]] bool load(std::string_view stored);
  void count_device(const FlashReading& now);

  FlashTotals totals_;
  core::Uuid boot_id_;
  core::Uuid stored_boot_;
  std::uint64_t stored_counter_ = 0;
  std::optional<std::uint64_t> last_device_;  // the bytes that ...
  std::uint64_t device_ = 0;                  // ... this one had counted
  std::uint64_t last_own_ = 0;
  std::uint64_t last_enqueued_ = 0;
  std::uint64_t last_ns_ = 0;
  std::uint64_t rest_ns_ = 0;  // of a second
  std::uint64_t read_at_ns_ = 0;
  std::uint64_t store_at_ns_ = 0;
};

}  // namespace spillway::agent
