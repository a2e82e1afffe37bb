// Supervisor: keeps the daemons of `spillway run` alive.
//
//   Waiting --(start time, and what it starts after is there)--> Running --(died)--> Waiting, with
//   a longer wait
//                                                                   |
//                                       exit code 2 (wrong use): everything ends with that code
//
// One thread. A child dies with this process (PR_SET_PDEATHSIG).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace spillway::cli {

struct ChildSpec {
  std::string name;
  std::vector<std::string> arguments;  // the program first
  /// Started only when this path is there, or after kStartAfterMax: empty starts at once.
  std::string start_after;
};

class Supervisor {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kBackoffMin{250};
  static constexpr std::chrono::milliseconds kBackoffMax{10'000};
  static constexpr std::chrono::seconds kStableAfter{10};  // a life this long resets the backoff
  static constexpr std::chrono::seconds kStartAfterMax{5};
  static constexpr std::chrono::seconds kStopMax{10};  // then SIGKILL

  explicit Supervisor(std::vector<ChildSpec> children);

  /// Until SIGTERM or SIGINT (returns 0), or a child ends with exit code 2 (returns 2). The caller
  /// has blocked SIGCHLD, SIGTERM and SIGINT.
  [[nodiscard]] int run();

 private:
  struct Child {
    ChildSpec spec;
    pid_t pid = 0;  // 0: not running
    Clock::time_point wanted_at;
    Clock::time_point started_at;
    std::chrono::milliseconds backoff = kBackoffMin;
  };

  void start_due();
  void start(Child& child);
  [[nodiscard]] std::optional<int> reap();
  [[nodiscard]] std::optional<int> ended(Child& child, int status);
  void stop_all();
  [[nodiscard]] bool any_running() const;

  std::vector<Child> children_;
};

/// Beside this program, else by name in PATH.
[[nodiscard]] std::string find_program(const std::string& name);

}  // namespace spillway::cli
