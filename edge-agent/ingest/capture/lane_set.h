// LaneSet: the lanes of a capture, one for each topic, opened when the first record comes.
//
// One thread. A full lane is waited for, in short turns between which the caller is asked whether to go
// on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "edge-agent/ingest/capture/progress_page.h"
#include "spillway/core/config.h"
#include "spillway/producer.h"

namespace spillway::agent::capture {

class LaneSet {
 public:
  /// An error ends the waiting with it.
  using GoOn = std::function<core::Result<void>()>;

  LaneSet(const core::Config& config, const core::CaptureConfig& capture, ProgressPage& page,
          GoOn go_on)
      : config_(config), capture_(capture), page_(page), go_on_(std::move(go_on)) {}

  /// Puts a record under the page's entry. kUnavailable: the lane was set aside, or there is no queue.
  [[nodiscard]] core::Result<void> put(std::size_t entry, const std::string& topic, const Key& key,
                                       std::span<const std::byte> record);
  /// Until everything that was put has reached the level.
  [[nodiscard]] core::Result<void> flush(Level level);

 private:
  struct Lane {
    Producer producer;
    std::string topic;
    std::size_t entry = 0;
    bool unsafe = false;  // something was put since the last flush
  };

  [[nodiscard]] core::Result<Lane*> lane_of(std::size_t entry, const std::string& topic);
  [[nodiscard]] tl::unexpected<core::Error> lost(const Lane& lane, Status status);
  [[nodiscard]] core::Result<void> wait_for_room(Lane& lane, std::size_t size);

  const core::Config& config_;
  const core::CaptureConfig& capture_;
  ProgressPage& page_;
  GoOn go_on_;
  std::map<std::size_t, std::unique_ptr<Lane>> lanes_;
};

/// Under which a capture's lanes run, so that the next one finds what this one has brought.
[[nodiscard]] std::string producer_name_of(const core::CaptureConfig& capture);

}  // namespace spillway::agent::capture
