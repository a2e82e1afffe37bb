// What `spillway torture` does: a writer process that is killed again and again on the user's own
// disk, with an oracle outside of it.
//
//   round: fork a writer -> it appends, syncs, acknowledges, and reports over a pipe -> kill -9 ->
//          the parent reads everything back and compares
//   now and then: the stream is copied, bits of the copy are flipped, it is read, repaired, read
//
// The record at offset n is a function of (seed, n) alone. So a record that is lost, doubled,
// reordered or altered is one that is not what its offset says. One thread, and the writer's process.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::cli {

struct TortureOptions {
  std::string directory;  // a folder of its own is made in it
  std::uint64_t seed = 1;
  std::uint64_t duration_ns = 0;
};

struct TortureReport {
  std::uint64_t kills = 0;
  std::uint64_t records_appended = 0;
  std::uint64_t records_read = 0;
  std::uint64_t records_dropped = 0;  // by the quota, or acknowledged: each in an exact range
  std::uint64_t bits_flipped = 0;
  std::uint64_t repairs = 0;
  std::vector<std::uint64_t> sync_ns;  // how long each fdatasync took, ascending
  std::vector<std::string> failures;
  std::string kept_directory;  // not empty if something failed: what was found is there
};

/// Ends at its time, at `stop`, or at the first failure.
[[nodiscard]] core::Result<TortureReport> torture(const TortureOptions& options,
                                                  const std::atomic<bool>& stop);

}  // namespace spillway::cli
