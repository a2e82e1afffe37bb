// KnownTime: the latest UTC that was known for certain, kept over restarts in a small file, so that
// a gateway whose clock starts in 1970 does not take a certificate for not yet valid, nor an expired
// one for good.
//
// Threads: one.
//
// Invariants:
//  1. utc_ns() falls only where a clock that is certain stands more than kAheadNsMax behind it: it was
//     taken from a clock that was set wrong, and would make every certificate expired for ever.
//  2. The file is written at most once in kWriteEveryNs: it stands on flash.
//  3. A file that cannot be read or written, or holds what cannot be true, changes nothing.
#pragma once

#include <cstdint>
#include <string>

#include "spillway/core/env/env.h"

namespace spillway::uplink {

class KnownTime {
 public:
  static constexpr std::uint64_t kWriteEveryNs = 6 * 3'600'000'000'000ULL;
  static constexpr std::uint64_t kAheadNsMax = 24 * 3'600'000'000'000ULL;

  KnownTime(core::env::Env& env, std::string path);
  /// Call now and then. Takes the clock's time if it is certain.
  void look();
  /// 0 if nothing was ever known.
  [[nodiscard]] std::uint64_t utc_ns() const { return known_ns_; }

 private:
  core::env::Env& env_;
  std::string path_;
  std::uint64_t known_ns_ = 0;
  std::uint64_t written_ns_ = 0;
  bool failed_ = false;
};

}  // namespace spillway::uplink
