// The lane file as C++ sees it: page 0, the two lines that the sides write, and the data. Private
// to shm.
//
//   0     LaneHeader, written once before the file gets its name
//   4096  ProducerLine, written by the producer alone, seldom
//   4224  AgentLine, written by the agent alone
//   8192  data: `capacity` bytes of frames
//
// format.fbs states the layout; these structs repeat the two lines with atomics, and lane_layout.cc
// pins them to it, field by field.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spillway/core/atomic.h"
#include "spillway/core/format_generated.h"

namespace spillway::shm {

inline constexpr std::size_t kProducerLineOffset = 4096;
inline constexpr std::size_t kAgentLineOffset = 4224;
inline constexpr std::size_t kLaneDataOffset = 8192;
inline constexpr std::uint64_t kLaneBytesMin = 16ULL * 1024;
inline constexpr std::uint64_t kLaneBytesMax = 64ULL * 1024 * 1024;
inline constexpr std::uint64_t kLaneBytesDefault = 256ULL * 1024;
inline constexpr std::uint32_t kRecordBytesDefault = 64U * 1024;
/// A record's header and the free header behind it, in half a lane.
inline constexpr std::uint32_t kHalfLaneReserve = 32;
inline constexpr std::size_t kControlBytes = 4096;
inline constexpr std::size_t kArmedOffset = 128;
inline constexpr std::size_t kArmingsOffset = 132;

struct ProducerLine {
  core::Atomic<std::uint64_t> rejected;
  core::Atomic<std::uint64_t> flush_wanted;
  core::Atomic<std::uint32_t> waiting;
  core::Atomic<std::uint32_t> closing;
  core::Atomic<std::uint32_t> fencing;
  core::Atomic<std::uint32_t> rung;
  std::byte reserved[96];
};

struct AgentLine {
  core::Atomic<std::uint64_t> consumed;
  core::Atomic<std::uint64_t> durable;
  core::Atomic<std::uint32_t> event;
  core::Atomic<std::uint32_t> quarantined;
  core::Atomic<std::uint32_t> stream_full;
  std::uint32_t reserved;
  core::Atomic<std::uint64_t> refused;
  core::Atomic<std::uint64_t> refused_end;
  std::byte reserved_tail[80];
};

/// The part of a mapping before the data.
struct LaneMapping {
  std::byte page0[kProducerLineOffset];
  ProducerLine producer;
  AgentLine agent;
  std::byte reserved[kLaneDataOffset - kAgentLineOffset - sizeof(AgentLine)];

  [[nodiscard]] std::byte* data() { return reinterpret_cast<std::byte*>(this) + kLaneDataOffset; }
};

static_assert(offsetof(LaneMapping, producer) == kProducerLineOffset);
static_assert(offsetof(LaneMapping, agent) == kAgentLineOffset);
static_assert(sizeof(LaneMapping) == kLaneDataOffset);
static_assert(sizeof(ProducerLine) == sizeof(format::LaneProducerLine));
static_assert(sizeof(AgentLine) == sizeof(format::LaneAgentLine));
static_assert(alignof(ProducerLine) == 8 && alignof(AgentLine) == 8);

}  // namespace spillway::shm
