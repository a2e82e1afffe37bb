// What a named step does in a test build. The product does not have this file.
//
//   SPILLWAY_STEP_COUNTS=FILE     a file of kSteps.size() u64, mapped: passages of each step so far
//   SPILLWAY_STEP_KILL=NAME:N     the process kills itself at the Nth passage (from 1) of this step
//   SPILLWAY_STEP_FORK=NAME:N     another thread forks there; the child sleeps until its standard
//                                 input ends, and touches nothing. The step waits for the fork, but
//                                 at most 1 s: the fork may have to wait for the step's thread.
//
// Libc alone, like the producer library.
#include "spillway/core/step.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "spillway/core/atomic.h"

namespace spillway::core {

namespace {

using Count = Atomic<std::uint64_t>;

/// The passage of one step at which something happens; `passage` 0: never.
struct Place {
  std::size_t step = 0;
  std::uint64_t passage = 0;
};

struct Plan {
  Count* counts = nullptr;
  Place kill;
  Place fork;
};

[[noreturn]] void refuse(const char* what, const char* text) {
  std::fprintf(stderr, "step: %s: %s\n", what, text);
  std::abort();
}

Place read_place(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return {};
  const char* colon = std::strchr(text, ':');
  if (colon == nullptr) refuse(variable, text);
  const std::string_view name(text, static_cast<std::size_t>(colon - text));
  for (std::size_t i = 0; i < kSteps.size(); ++i) {
    if (kSteps[i] == name) return {i, std::strtoull(colon + 1, nullptr, 10)};
  }
  refuse(variable, text);
}

Count* map_counts() {
  static Count here[kSteps.size()];
  const char* path = std::getenv("SPILLWAY_STEP_COUNTS");
  if (path == nullptr) return here;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0 || status.st_size != static_cast<off_t>(sizeof here)) {
    refuse("no file of the right size", path);
  }
  void* address = mmap(nullptr, sizeof here, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (address == MAP_FAILED) refuse("cannot map", path);
  return static_cast<Count*>(address);
}

const Plan& plan() {
  static const Plan made{map_counts(), read_place("SPILLWAY_STEP_KILL"),
                         read_place("SPILLWAY_STEP_FORK")};
  return made;
}

/// In a thread of its own, so that a fork handler that waits for the thread that passes the step
/// can be seen to wait.
void* fork_in_thread(void* forked) {
  if (fork() != 0) {
    sem_post(static_cast<sem_t*>(forked));
    return nullptr;
  }
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  _exit(0);
}

void fork_here() {
  static sem_t forked;  // outlives this call: the thread may come to it later
  pthread_t thread;
  if (sem_init(&forked, 0, 0) != 0 ||
      pthread_create(&thread, nullptr, fork_in_thread, &forked) != 0) {
    refuse("cannot start", "a thread");
  }
  pthread_detach(thread);
  struct timespec until {};
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1;
  while (sem_timedwait(&forked, &until) != 0 && errno == EINTR) {
  }
}

}  // namespace

void pass_step(std::size_t step) {
  const Plan& made = plan();
  const std::uint64_t passage = made.counts[step].fetch_add(1, std::memory_order_relaxed) + 1;
  if (made.kill.passage == passage && made.kill.step == step) kill(getpid(), SIGKILL);
  if (made.fork.passage == passage && made.fork.step == step) fork_here();
}

}  // namespace spillway::core
