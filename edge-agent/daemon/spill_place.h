// SpillPlace: the file system under the spill directory: is it still the one that the spill was
// opened on, how much room it has, does it take writes.
//
// Drain thread; a few system calls each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "spillway/core/result.h"

namespace spillway::agent {

struct PlaceFacts {
  bool read_only = false;  // mounted so; one that failed since says so only when it is written to
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
};

class SpillPlace {
 public:
  explicit SpillPlace(std::string spill_dir) : spill_dir_(std::move(spill_dir)) {}

  /// The spill was opened: where it stands now is where it belongs.
  void settle();
  /// kNotFound: the spill stood on a file system of its own, and what has its name now is the folder
  /// under the mount point. An agent that runs does not follow it there: records would be covered as
  /// soon as the card is back.
  [[nodiscard]] core::Result<void> check_mounted() const;
  [[nodiscard]] PlaceFacts facts() const;

 private:
  std::string spill_dir_;
  std::optional<std::uint64_t>
      below_;  // the device under the mount point; none: not on a mount of its own
};

}  // namespace spillway::agent
