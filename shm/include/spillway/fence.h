// full_fence: the barrier of the doorbell and of waiting (rule 7), in one place.
//
// Any thread. It orders accesses that are atomics themselves, so a race detector that does not
// model fences (GCC says so with -Wtsan) misses nothing and reports nothing for it.
#pragma once

namespace spillway {

#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
inline void full_fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace spillway
