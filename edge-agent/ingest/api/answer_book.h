// AnswerBook: the answers to requests with an Idempotency-Key, so that a request that is sent again
// is not done again.
//
// One thread, no clock: time is passed in.
//
// Invariants:
//  1. A key is new, in flight, or answered. In flight: whoever comes with it waits for the first's
//     answer. Answered: it gets the same one.
//  2. A key that comes with another request than its first is refused.
//  3. At most `keys_max` keys are known; the oldest answered one gives way. While all are in flight, no
//     new key is taken.
//  4. A request that has changed nothing is forgotten, so that it may be tried again.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace spillway::agent::api {

struct Answer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::uint64_t retry_after_s = 0;  // 0: none
};
using Respond = std::function<void(const Answer&)>;

class AnswerBook {
 public:
  enum class Claim : std::uint8_t {
    kFirst,    // do it, then settle()
    kWaiting,  // respond is called when the first is settled
    kKnown,    // respond has been called
    kOther,    // the key belongs to another request
    kFull,     // too many are in flight
  };

  AnswerBook(std::size_t keys_max, std::uint64_t keep_ns)
      : keys_max_(keys_max), keep_ns_(keep_ns) {}

  /// `request`: a hash of all that the request says. `waiter` names who waits, for forget_waiter.
  Claim claim(const std::string& key, std::uint64_t request, std::uint64_t waiter, Respond respond,
              std::uint64_t now_ns);
  /// Of a kFirst. `keep`: false if it has changed nothing. Calls all who wait.
  void settle(const std::string& key, const Answer& answer, bool keep, std::uint64_t now_ns);
  /// Who waits no more: its time is up, or its connection gone.
  void forget_waiter(const std::string& key, std::uint64_t waiter);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Waiter {
    std::uint64_t id;
    Respond respond;
  };
  struct Entry {
    std::uint64_t request = 0;
    bool answered = false;
    Answer answer;
    std::uint64_t answered_ns = 0;
    std::vector<Waiter> waiters;
  };

  void forget_old(std::uint64_t now_ns);

  std::size_t keys_max_;
  std::uint64_t keep_ns_;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> order_;  // answered keys, the oldest first
};

}  // namespace spillway::agent::api
