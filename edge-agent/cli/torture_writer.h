// The process that torture kills, and what it and the oracle agree on. Private to cli/torture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/core/stream.h"

namespace spillway::cli {

/// Over the pipe, after each step: smaller than PIPE_BUF, so whole or not at all.
struct WriterReport {
  std::uint64_t next_offset = 0;     // process-safe below
  std::uint64_t durable_offset = 0;  // power-safe below
  std::uint64_t acked_offset = 0;
  std::uint64_t sync_ns = 0;  // not 0: this long did a sync take
};

/// The record at this offset.
[[nodiscard]] std::vector<std::byte> torture_record(std::uint64_t seed, std::uint64_t offset);

/// Small enough that quota, rolls and recycling happen all the time.
[[nodiscard]] core::StreamOptions torture_stream(const std::string& folder, bool acknowledges);

/// Appends until it is killed. Returns only if something failed, with the reason.
[[nodiscard]] core::Error run_writer(const core::StreamOptions& options, std::uint64_t seed,
                                     std::uint64_t round, int pipe_fd);

}  // namespace spillway::cli
