// Worker: the agent's one other thread; runs orders (fdatasync, making a spare segment) so that the
// drain never waits.
//
// submit, take_done and outstanding: from the drain thread. Bounded: at most `capacity` orders are
// outstanding.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "edge-agent/drain/order.h"

namespace spillway::agent {

class Worker {
 public:
  struct Done {
    Order order;
    core::Result<void> outcome;
  };

  explicit Worker(std::size_t capacity);
  /// Waits for the order under way; orders not begun are dropped.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// More than `capacity` outstanding is a programmer's error: the drain has a bound of its own.
  void submit(Order order);
  [[nodiscard]] std::vector<Done> take_done();
  /// The same, but waits until at least one is done. Something must be outstanding.
  [[nodiscard]] std::vector<Done> wait_done();
  /// Submitted and not yet taken back.
  [[nodiscard]] std::size_t outstanding() const { return outstanding_; }

 private:
  void loop();

  std::size_t capacity_;
  std::size_t outstanding_ = 0;  // drain thread only
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable finished_;
  std::deque<Order> orders_;
  std::vector<Done> done_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace spillway::agent
