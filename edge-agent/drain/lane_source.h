// LaneSource: where the drain finds lanes. The thin shell over the queue directory; tests put their
// own in its place.
//
// One thread, the drain's.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "spillway/shm/lane_reader.h"
#include "spillway/shm/queue_directory.h"

namespace spillway::agent {

/// What the file system says about a lane file; unlike the lane's own header it cannot lie.
struct LaneFileFacts {
  std::uint32_t uid = 0;
  std::uint64_t bytes = 0;
};

class LaneSource {
 public:
  LaneSource() = default;
  LaneSource(const LaneSource&) = delete;
  LaneSource& operator=(const LaneSource&) = delete;
  virtual ~LaneSource() = default;

  [[nodiscard]] virtual bool changed() = 0;
  [[nodiscard]] virtual core::Result<std::vector<std::string>> lanes() = 0;
  [[nodiscard]] virtual core::Result<LaneFileFacts> facts(const std::string& path) = 0;
  [[nodiscard]] virtual core::Result<std::unique_ptr<shm::LaneReader>> attach(
      const std::string& path) = 0;
  [[nodiscard]] virtual core::Result<void> quarantine(const std::string& path) = 0;
  [[nodiscard]] virtual core::Result<void> remove(const std::string& path) = 0;
  /// As QueueDirectory has them.
  [[nodiscard]] virtual core::Result<std::vector<std::byte>> read_schema(
      std::uint64_t fingerprint) = 0;
  virtual void remove_schema(std::uint64_t fingerprint) = 0;
  virtual void tidy_schemas(const std::set<std::uint64_t>& named) = 0;
};

/// The real one. `queue` must outlive it.
[[nodiscard]] std::unique_ptr<LaneSource> make_queue_lane_source(shm::QueueDirectory& queue);

}  // namespace spillway::agent
