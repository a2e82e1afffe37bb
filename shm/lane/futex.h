// Futex words in shared mappings, between processes. Private to shm.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>

#include "spillway/core/atomic.h"

namespace spillway::shm {

/// Sleeps while the word is `expected`, at most timeout_ns. 0 if woken, else the error's number.
inline int futex_wait(const core::Atomic<std::uint32_t>& word, std::uint32_t expected,
                      std::uint64_t timeout_ns) {
  struct timespec timeout {};
  timeout.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000U);
  timeout.tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000U);
  // Not FUTEX_PRIVATE: the other side is another process. A read-only mapping is good enough for
  // both calls.
  if (syscall(SYS_futex, &word, FUTEX_WAIT, expected, &timeout, nullptr, 0) == 0) return 0;
  return errno;
}

/// How many were woken.
inline int futex_wake(const core::Atomic<std::uint32_t>& word) {
  const long woken = syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

}  // namespace spillway::shm
