// Cores and the one way out: pinning, waiting without a call, and errors that are one clear line.
//
// Any process of the bench. A program that cannot measure ends with kLeftOut and says why; the
// report then names its subject as left out.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace spillway::bench {

inline constexpr int kFailed = 1;
inline constexpr int kLeftOut = 77;

inline constexpr int kProducerCore = 0;
inline constexpr int kConsumerCore = 1;

[[noreturn]] inline void die(const std::string& why, int code = kFailed) {
  std::fprintf(stderr, "%s\n", why.c_str());
  // Also in a child of fork: nothing that its parent owns is torn down.
  _exit(code);
}

inline void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<unsigned>(core), &cores);
  if (sched_setaffinity(0, sizeof cores, &cores) != 0) {
    die("cannot pin to core " + std::to_string(core) + ": the bench wants cores 0 and 1", kLeftOut);
  }
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace spillway::bench
