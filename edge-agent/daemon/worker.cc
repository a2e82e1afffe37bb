#include "edge-agent/daemon/worker.h"

#include <utility>

#include "spillway/core/assert.h"

namespace spillway::agent {

Worker::Worker(std::size_t capacity) : capacity_(capacity), thread_([this] { loop(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_one();
  thread_.join();
}

void Worker::submit(Order order) {
  SPILLWAY_ASSERT(outstanding_ < capacity_);
  ++outstanding_;
  {
    const std::lock_guard lock(mutex_);
    orders_.push_back(std::move(order));
  }
  wanted_.notify_one();
}

std::vector<Worker::Done> Worker::take_done() {
  if (outstanding_ == 0) return {};
  const std::lock_guard lock(mutex_);
  outstanding_ -= done_.size();
  return std::exchange(done_, {});
}

std::vector<Worker::Done> Worker::wait_done() {
  SPILLWAY_ASSERT(outstanding_ > 0);
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return !done_.empty(); });
  outstanding_ -= done_.size();
  return std::exchange(done_, {});
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] { return stopping_ || !orders_.empty(); });
    if (stopping_) return;
    Order order = std::move(orders_.front());
    orders_.pop_front();
    lock.unlock();
    auto outcome = order.run();
    lock.lock();
    done_.push_back({std::move(order), std::move(outcome)});
    finished_.notify_one();
  }
}

}  // namespace spillway::agent
