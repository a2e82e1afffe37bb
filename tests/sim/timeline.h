// Timeline: simulated time and what is to happen when. One thread.
//
// Invariants:
//  1. Things happen in the order of their time; what is due at the same time, in the order it was asked for.
//  2. What belongs to a life (of a process) does not happen when that life has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <vector>

namespace spillway::sim {

inline constexpr std::uint64_t kMs = 1'000'000;
inline constexpr std::uint64_t kSecond = 1'000 * kMs;

/// A process from its start to its end. Everything that it has asked for dies with it.
using Life = std::shared_ptr<const int>;
[[nodiscard]] inline Life begin_life() { return std::make_shared<const int>(0); }

class Timeline {
 public:
  using Action = std::function<void()>;
  /// A world that goes on for longer than this is in a loop.
  static constexpr std::uint64_t kEventsMax = 2'000'000;

  [[nodiscard]] std::uint64_t now_ns() const { return now_ns_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }

  void after(std::uint64_t delay_ns, Action action) {
    queue_.push({now_ns_ + delay_ns, serial_++, std::move(action)});
  }
  void after(std::uint64_t delay_ns, const Life& life, Action action) {
    after(delay_ns, [weak = std::weak_ptr(life), action = std::move(action)] {
      if (!weak.expired()) action();
    });
  }
  /// False: there was no end to it.
  [[nodiscard]] bool run_until(std::uint64_t end_ns) {
    while (!queue_.empty() && queue_.top().due_ns <= end_ns) {
      if (++events_ > kEventsMax) return false;
      // The order of the queue does not look at the action.
      const Action action = std::move(const_cast<Event&>(queue_.top()).action);
      now_ns_ = queue_.top().due_ns;
      queue_.pop();
      action();
    }
    now_ns_ = end_ns;
    return true;
  }

 private:
  struct Event {
    std::uint64_t due_ns = 0;
    std::uint64_t serial = 0;
    Action action;
    bool operator<(const Event& other) const {
      return due_ns != other.due_ns ? due_ns > other.due_ns : serial > other.serial;
    }
  };

  std::priority_queue<Event> queue_;
  std::uint64_t now_ns_ = 0;
  std::uint64_t serial_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace spillway::sim
