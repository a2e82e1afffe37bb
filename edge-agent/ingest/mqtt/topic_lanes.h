// TopicLanes: the lanes that messages go to, one for each map and topic, opened when the first record comes.
//
// One thread. A full lane is waited for, in short turns between which the caller is asked whether to go on. At most
// `lanes_max` are open; the one that was idle longest gives way, when the agent has taken all that stands in it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "edge-agent/ingest/mqtt/routes.h"
#include "spillway/producer.h"

namespace spillway::agent::mqtt {

class TopicLanes {
 public:
  struct Hooks {
    /// Asked while a lane is waited for: an error ends the waiting with it.
    std::function<core::Result<void>()> go_on;
    /// So many records were larger than the stream's segments take, and are gone.
    std::function<void(const Route& route, const std::string& topic, std::uint64_t records)>
        on_refused;
    /// A lane was set aside: what stood in it and was not safe does not arrive.
    std::function<void()> on_lost;
  };

  struct Lane {
    const Route* route = nullptr;
    std::string topic;
    Producer producer;
    bool unsafe = false;  // holds what has not yet reached the map's level
    std::uint64_t last_used = 0;
    std::uint64_t refused = 0;  // that was told
  };

  TopicLanes(std::string queue_dir, std::size_t lanes_max, Hooks hooks)
      : queue_dir_(std::move(queue_dir)), lanes_max_(lanes_max), hooks_(std::move(hooks)) {}

  /// Good until the next call of lane_of, put or flush. The route must outlive the lane.
  [[nodiscard]] core::Result<Lane*> lane_of(const Route& route, const std::string& topic);
  /// Waits for room. `wants_level`: flush() waits for it.
  [[nodiscard]] core::Result<void> put(Lane& lane, std::span<const std::byte> record,
                                       bool wants_level);
  /// Until everything that wants it has reached its map's level.
  [[nodiscard]] core::Result<void> flush();
  [[nodiscard]] std::size_t open_lanes() const { return lanes_.size(); }

 private:
  using Name = std::pair<std::size_t, std::string>;  // a map, and a topic

  [[nodiscard]] core::Result<std::unique_ptr<Lane>> open(const Route& route,
                                                         const std::string& topic);
  [[nodiscard]] core::Result<void> make_room();
  [[nodiscard]] core::Result<void> flush(Lane& lane, Level level);
  [[nodiscard]] tl::unexpected<core::Error> lost(const Lane& lane, spillway::Status status);

  std::string queue_dir_;
  std::size_t lanes_max_;
  Hooks hooks_;
  std::map<Name, std::unique_ptr<Lane>> lanes_;
  std::uint64_t uses_ = 0;
};

}  // namespace spillway::agent::mqtt
