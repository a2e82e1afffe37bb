// Keeper: decides when there is a reader process, one for each life of RouDi.
//
// iceoryx's runtime is one for a process, never reconnects to a RouDi that was started anew, and
// ends the process when something is wrong. So a child reads the samples, and this decides in its
// parent when one is started and ended.
//
//   kWaiting --(RouDi is there, the same at two looks)--> kReading --(child ended)--> kResting
//      ^                                                     |                           |
//      |                                       (another RouDi, or told to stop)    (pause over)
//      |                                                     v                           |
//      +--------------(child ended)---------------------- kLeaving                       |
//      +---------------------------------------------------------------------------------+
//
// A RouDi that is gone leaves its publishers connected to the child: it goes on reading until there
// is a new one, so that what they still send is not lost.
//
// One thread; time and looks are passed in.
#pragma once

#include <cstdint>
#include <optional>

namespace spillway::agent::iceoryx {

/// One life of RouDi: its socket's file is made anew at each start.
struct RoudiLife {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t changed_ns = 0;

  friend bool operator==(const RoudiLife&, const RoudiLife&) = default;
};

/// How a child ended.
enum class ChildEnd : std::uint8_t {
  kLeft,       // it was told to, or RouDi has said goodbye
  kForgotten,  // it stood still so long that RouDi took it for dead
  kFailed,     // anything else
};

class Keeper {
 public:
  static constexpr std::uint64_t kRestMinNs = 250'000'000;
  static constexpr std::uint64_t kRestMaxNs = 10'000'000'000;
  /// A child that has lived so long has proved that it works.
  static constexpr std::uint64_t kStableAfterNs = 10'000'000'000;
  /// To drain its queues and say goodbye; then SIGKILL.
  static constexpr std::uint64_t kLeaveMaxNs = 3'000'000'000;
  /// Without a sign of life: it hangs in iceoryx (a publisher may die holding a lock); then SIGKILL.
  static constexpr std::uint64_t kSilenceMaxNs = 10'000'000'000;

  enum class State : std::uint8_t { kWaiting, kReading, kLeaving, kResting };
  enum class Action : std::uint8_t { kNothing, kStartChild, kTellToLeave, kKillChild };

  /// Call about ten times a second. `signs` grows whenever the child shows that it lives.
  [[nodiscard]] Action step(std::uint64_t now_ns, const std::optional<RoudiLife>& roudi,
                            std::uint64_t signs);
  void on_child_ended(std::uint64_t now_ns, ChildEnd end);
  /// The child must go, and no other come.
  void stop() { stopping_ = true; }

  [[nodiscard]] State state() const { return state_; }
  /// Nothing is left to do.
  [[nodiscard]] bool stopped() const {
    return stopping_ && (state_ == State::kWaiting || state_ == State::kResting);
  }
  /// RouDi's lives that a child was started for.
  [[nodiscard]] std::uint64_t lives() const { return lives_; }
  [[nodiscard]] std::uint64_t starts() const { return starts_; }
  [[nodiscard]] std::uint64_t rest_ns() const { return rest_ns_; }
  /// The child that runs is the first of its RouDi's life.
  [[nodiscard]] bool life_is_new() const { return life_is_new_; }

 private:
  Action step_reading(std::uint64_t now_ns, const std::optional<RoudiLife>& roudi,
                      std::uint64_t signs);
  Action start_child(std::uint64_t now_ns, const RoudiLife& roudi, std::uint64_t signs);

  State state_ = State::kWaiting;
  bool stopping_ = false;
  bool killed_ = false;
  bool life_is_new_ = false;
  std::optional<RoudiLife> seen_;  // at the last look
  RoudiLife read_;                 // of the child, or of the last one
  std::uint64_t since_ns_ = 0;     // of the state
  std::uint64_t started_ns_ = 0;
  std::uint64_t sign_ns_ = 0;
  std::uint64_t signs_ = 0;
  std::uint64_t rest_ns_ = kRestMinNs;
  std::uint64_t lives_ = 0;
  std::uint64_t starts_ = 0;
};

}  // namespace spillway::agent::iceoryx
