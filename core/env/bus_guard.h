// BusGuard: contains SIGBUS from a mapped file that was truncated, or that the disk no longer gives.
//
// The process-wide handler lays an anonymous zero page over the page that faulted, if that page
// belongs to a guarded mapping, and notes it; any other SIGBUS goes to whatever handled it before.
// In a lane a zero page reads as 'nothing committed', so the walk that met it ends by itself, and
// the reader finds the lane damaged; the spill's small pages are never the truth about anything. No
// jump out of a handler, no thread state.
//
// add and remove: any thread. The handler only loads atomics and calls mmap and sigaction.
#pragma once

#include <cstddef>

namespace spillway::core::env {

class BusGuard {
 public:
  BusGuard() = default;
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;
  ~BusGuard();

  /// Guards a mapping until this object goes. False: no slot is free (kMappingsMax), or no handler
  /// can be installed.
  [[nodiscard]] bool guard(const void* address, std::size_t bytes);
  /// A page of the mapping was lost.
  [[nodiscard]] bool hit() const;

  static constexpr std::size_t kMappingsMax = 4096;

 private:
  std::size_t slot_ = kMappingsMax;
};

}  // namespace spillway::core::env
