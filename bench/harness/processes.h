// Two processes, one on each core, and how they find each other: the producer's is the one that was
// started, the consumer's is its child.
//
//   consumer:  pong - open - (1) ........ meet - (2) - receive until the stop record - (3) - pong
//   producer:  ping ........ open - (1) - measure ......................- (2) ........ ping
//
// A child that dies takes its parent along with its exit code; the kernel ends the child when the
// parent dies; a watchdog ends both.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>

#include "bench/harness/cores.h"

namespace spillway::bench {

inline constexpr unsigned kWatchdogSeconds = 60;

inline void let_run_on_all_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(kProducerCore, &cores);
  CPU_SET(kConsumerCore, &cores);
  sched_setaffinity(0, sizeof cores, &cores);
}

inline void end_with_child(int) {
  int status = 0;
  if (waitpid(-1, &status, WNOHANG) <= 0) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : kFailed);
}

/// Runs `child` in a process of its own.
template <typename Child>
pid_t start_child(Child child) {
  struct sigaction action {};
  action.sa_handler = end_with_child;
  sigaction(SIGCHLD, &action, nullptr);
  const pid_t pid = fork();
  if (pid < 0) die("cannot start the consumer's process");
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(kWatchdogSeconds);
  child();
  _exit(0);
}

/// The handler may have reaped it first.
inline void wait_for_child(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

/// Pages of this process that are in memory, shared mappings included, in bytes.
[[nodiscard]] inline std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace spillway::bench
