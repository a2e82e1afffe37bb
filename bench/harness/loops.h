// The measured loops, templates over a peer's Sender. The producer's process, pinned, one thread.
//
// Every loop warms up first and measures nothing of it. A full subject is asked again until it
// takes the record: refusals are counted, and what is timed is the call that took it.
#pragma once

#include <atomic>
#include <cstring>
#include <span>

#include "bench/harness/cores.h"
#include "bench/harness/histogram.h"
#include "bench/harness/timer.h"

namespace spillway::bench {

// A record's first eight bytes.
inline constexpr std::uint64_t kNoStamp = 0;
inline constexpr std::uint64_t kStopStamp = ~std::uint64_t{0};

inline constexpr int kWarmUpSends = 2000;
inline constexpr std::uint64_t kSendsPerChunk = 512;
inline constexpr std::uint64_t kOneWayGapNs = 3000;
inline constexpr std::uint64_t kGapsUntilLost = 1000;
inline constexpr std::size_t kColdBytes = 4U << 20;  // beyond any core's own caches

using Record = std::span<std::byte>;

inline void stamp(Record record, std::uint64_t value) {
  std::memcpy(record.data(), &value, sizeof value);
}

template <typename Sender>
void send_surely(Sender& sender, std::span<const std::byte> record, std::uint64_t& refused) {
  while (!sender.send(record)) {
    ++refused;
    pause();
  }
}

struct Timed {
  Histogram histogram;
  std::uint64_t refused = 0;
};

template <typename Sender>
void time_one(Sender& sender, std::span<const std::byte> record, Timed& timed) {
  const std::uint64_t from = ticks_begin();
  const bool taken = sender.send(record);
  const std::uint64_t to = ticks_end();
  if (taken) {
    timed.histogram.record(to - from);
  } else {
    ++timed.refused;
    send_surely(sender, record, timed.refused);
  }
}

/// Operation by operation, `gap` ticks apart, so that whoever drains keeps up.
template <typename Sender>
void time_each(Sender& sender, Record record, std::uint64_t span, std::uint64_t gap, Timed& timed) {
  stamp(record, kNoStamp);
  std::uint64_t next = ticks_now();
  for (int i = 0; i < kWarmUpSends; ++i, next += gap) {
    while (ticks_now() < next) pause();
    time_one(sender, record, timed);
  }
  timed.histogram.clear();
  timed.refused = 0;
  next = ticks_now();
  for (const std::uint64_t end = next + span; next < end; next += gap) {
    while (ticks_now() < next) pause();
    time_one(sender, record, timed);
  }
}

struct BackToBack {
  std::uint64_t sends = 0;
  std::uint64_t ticks = 0;
  std::uint64_t refused = 0;
};

/// As fast as it goes; what is lost to a full subject counts in.
template <typename Sender>
BackToBack time_back_to_back(Sender& sender, Record record, std::uint64_t span) {
  stamp(record, kNoStamp);
  BackToBack result;
  for (int i = 0; i < kWarmUpSends; ++i) send_surely(sender, record, result.refused);
  result.refused = 0;
  const std::uint64_t from = ticks_begin();
  do {
    for (std::uint64_t i = 0; i < kSendsPerChunk; ++i) send_surely(sender, record, result.refused);
    result.sends += kSendsPerChunk;
    result.ticks = ticks_end() - from;
  } while (result.ticks < span);
  return result;
}

/// Stamped records, each sent when its consumer has taken the one before and waits. The consumer does
/// the counting. A subject that loses records is not waited for for ever.
template <typename Sender>
void send_stamped(Sender& sender, Record record, std::uint64_t span, std::uint64_t gap,
                  std::size_t records_per_send, const std::atomic<std::uint64_t>& received) {
  std::uint64_t refused = 0;
  std::uint32_t chance = 1;
  std::uint64_t taken = received.load(std::memory_order_relaxed);
  std::uint64_t now = ticks_now();
  for (const std::uint64_t end = now + span; now < end; now = ticks_now()) {
    // A little chance, so that the two loops never run in step.
    chance = chance * 1664525U + 1013904223U;
    const std::uint64_t next = now + gap + (chance >> 16) % (gap / 2);
    while (ticks_now() < next) pause();
    stamp(record, ticks_now());
    send_surely(sender, record, refused);
    taken += records_per_send;
    const std::uint64_t give_up = ticks_now() + kGapsUntilLost * gap;
    while (received.load(std::memory_order_relaxed) < taken && ticks_now() < give_up) pause();
    taken = received.load(std::memory_order_relaxed);
  }
  stamp(record, kNoStamp);
}

/// Fills this core's caches with something else.
inline void forget_caches() {
  static std::byte cold[kColdBytes];
  std::memset(cold, 0x5A, sizeof cold);
  asm volatile("" ::"r"(cold) : "memory");
}

/// What a sensor sees: long pauses, and caches that have forgotten.
template <typename Sender>
void time_paced(Sender& sender, Record record, std::uint64_t count, std::uint64_t hz,
                Timed& timed) {
  struct timespec next {};
  clock_gettime(CLOCK_MONOTONIC, &next);
  const auto step = static_cast<long>(1'000'000'000 / hz);
  for (std::uint64_t i = 0; i < count; ++i) {
    next.tv_nsec += step;
    if (next.tv_nsec >= 1'000'000'000) {
      next.tv_nsec -= 1'000'000'000;
      ++next.tv_sec;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    forget_caches();
    time_one(sender, record, timed);
  }
}

}  // namespace spillway::bench
