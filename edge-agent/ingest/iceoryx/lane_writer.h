// LaneWriter: the lane of one [[iceoryx.map]]; opened anew if the agent sets it aside.
//
// One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/ingest_config.h"
#include "spillway/core/result.h"
#include "spillway/producer.h"

namespace spillway::agent::iceoryx {

/// "service/instance/event", or its beginning and a hash where it is longer than a producer's name
/// may be: two maps to one topic are two producers.
[[nodiscard]] std::string producer_name_of(const core::IceoryxMapConfig& map);

class LaneWriter {
 public:
  [[nodiscard]] static core::Result<std::unique_ptr<LaneWriter>> open(
      const std::string& queue_dir, const core::IceoryxMapConfig& map);

  /// Producer::put; a lane that was set aside is replaced first, and the sample goes to the new one.
  [[nodiscard]] Status put(std::span<const std::byte> sample);
  /// Whether a sample of this size has room now; asks without counting a refusal as a loss.
  [[nodiscard]] bool has_room(std::size_t size);

 private:
  LaneWriter(std::string queue_dir, core::IceoryxMapConfig map)
      : queue_dir_(std::move(queue_dir)), map_(std::move(map)) {}
  [[nodiscard]] Status reopen();

  std::string queue_dir_;
  core::IceoryxMapConfig map_;
  std::vector<std::byte> schema_;
  Producer producer_;
};

}  // namespace spillway::agent::iceoryx
