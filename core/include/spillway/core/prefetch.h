// prefetch_for_store: brings a cache line to this core to be written, ahead of need.
//
// Any thread, any address: it is a hint, which reads and faults nothing.
#pragma once

namespace spillway::core {

inline void prefetch_for_store(const void* at) {
#if defined(__x86_64__)
  // GCC's builtin makes a prefetch for reading of it, unless it may use this instruction; every
  // 64-bit x86 has it, if only to pass over it.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#else
  __builtin_prefetch(at, 1);
#endif
}

}  // namespace spillway::core
