// The steps of the link's bench that need speed or Spillway's own code; bench/link.py puts them
// together. Each is one run of the program bench_link, on one thread, with a JSON line on stdout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace spillway::bench {

inline constexpr std::size_t kLinkRecordBytes = 64;

struct LinkStep {
  std::string spill;          // fill: the spill's directory
  std::string queue;          // fill, produce: the queue's
  std::string database;       // insert, watch: the inbox's file
  std::uint64_t records = 0;  // fill, insert, produce, watch
  std::uint64_t batch = 0;    // insert: records in one transaction
  std::uint64_t rate_hz = 0;  // produce
};

/// So many records into the spill that an agent has made, by the stream that it writes with.
void fill_spill(const LinkStep& step);
/// SQLite alone: the inbox's own tables, PRAGMAs and statement, the same rows, no Spillway.
void insert_bare(const LinkStep& step);
/// A producer at a steady rate; each record begins with the time of its enqueue.
void produce_paced(const LinkStep& step);
/// Waits for each record's row to be visible in the inbox's file, and says how long after its
/// enqueue that was.
void watch_inbox(const LinkStep& step);

/// CLOCK_BOOTTIME: one clock for all processes of the bench.
[[nodiscard]] std::uint64_t boottime_ns();
/// The record `number` as all steps make it: 8 bytes of its own, 24 that differ, 32 that do not.
void make_link_record(std::uint64_t number, std::byte* record);

}  // namespace spillway::bench
