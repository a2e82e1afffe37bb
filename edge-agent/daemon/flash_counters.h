// What the system counts of the writes to a directory's disk.
//
// Any thread; reads /sys and /proc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace spillway::agent {

struct FlashReading {
  /// Bytes that went to the block device since it came up, whoever wrote them; 0 for memory (tmpfs).
  /// Nothing where the file system stands on no one block device (btrfs, overlays, network).
  std::optional<std::uint64_t> device_bytes;
  /// Bytes that this process has caused to be written to any disk since it started.
  std::uint64_t own_bytes = 0;
  /// Which device counts: another one's number says nothing of what this one has grown by.
  std::uint64_t device = 0;
};

[[nodiscard]] FlashReading read_flash_counters(const std::string& directory);

/// Bytes written, by a block device's `stat` file (the 7th number counts sectors of 512 bytes).
[[nodiscard]] std::optional<std::uint64_t> written_bytes_in(const std::string& device_stat);

}  // namespace spillway::agent
