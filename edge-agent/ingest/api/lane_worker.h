// LaneWorker: one topic's lane, and the thread that puts batches into it and waits for their levels,
// so that no request waits for another topic's.
//
// submit, busy and stop: the owner's thread; `post` is called in the worker's, and brings its argument
// to the owner's.
//
// Invariants:
//  1. A batch goes in whole or not at all, so that who is told "full" may send all of it again.
//  2. One flush answers all batches that stand before it in the lane.
//  3. While a level is waited for, new batches are put all the same, at most kSlice later, or
//     kLongSlice where the agent has been away for a while.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "edge-agent/ingest/api/lanes.h"
#include "spillway/core/atomic.h"
#include "spillway/producer.h"

namespace spillway::agent::api {

struct LaneSettings {
  std::string queue_dir;
  std::string producer_name = "spillway-api";
  std::uint64_t lane_bytes = 1 << 20;
  std::uint32_t max_record_bytes = 64 << 10;
};

using Post = std::function<void(std::function<void()>)>;

class LaneWorker {
 public:
  static constexpr std::chrono::milliseconds kSlice{2};
  static constexpr std::chrono::milliseconds kLongSlice{50};
  static constexpr std::uint32_t kVainSlicesMax = 500;
  /// Batches that wait to be put; more are refused as full.
  static constexpr std::size_t kQueueMax = 1024;

  LaneWorker(const LaneSettings& settings, std::string topic, Post post);
  /// What waits is answered with kClosed.
  ~LaneWorker();
  LaneWorker(const LaneWorker&) = delete;
  LaneWorker& operator=(const LaneWorker&) = delete;

  void submit(Job job);
  /// Batches that are not answered yet.
  [[nodiscard]] bool busy() const { return *unanswered_ != 0; }

 private:
  struct Waiting {
    Job job;
    std::uint64_t end;  // position behind it
  };

  void run();
  [[nodiscard]] std::deque<Job> take_jobs();
  void put(Job job);
  [[nodiscard]] Outcome try_put(const Job& job);
  [[nodiscard]] Status open_for(const Job& job);
  void await_levels();
  void answer_reached();
  void fail_waiting(Status status, const std::string& detail);
  void answer(const Job& job, Outcome outcome);

  const LaneSettings settings_;
  const std::string topic_;
  const Post post_;
  /// The owner's. Shared with answers that may come after this object's end.
  const std::shared_ptr<std::size_t> unanswered_ = std::make_shared<std::size_t>(0);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;  // under mutex_
  core::Atomic<bool> stopping_{false};

  // The worker's own.
  Producer producer_;
  std::uint64_t schema_ = 0;  // of the open lane
  std::deque<Waiting> waiting_;
  std::uint32_t vain_slices_ = 0;  // one after the other, in which nothing was reached
  std::thread thread_;
};

}  // namespace spillway::agent::api
