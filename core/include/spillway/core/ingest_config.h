// What the configuration says of the adapters that put records in from outside: [iceoryx].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spillway::core {

/// The samples of one iceoryx event become the records of one topic.
struct IceoryxMapConfig {
  std::string service;
  std::string instance;
  std::string event;
  std::string topic;
  std::string schema;                  // .bfbs file that explains the samples; empty: none
  std::uint64_t queue_capacity = 256;  // samples that wait for the bridge in iceoryx
  std::uint64_t history = 0;           // samples from before the bridge, as many as publishers keep
  bool block_producer = false;         // a full queue holds publishers up instead of losing samples
  std::uint64_t lane_bytes = 0;        // 0: the producer library's default
  std::uint64_t max_record_bytes = 0;  // 0: likewise
};

struct IceoryxConfig {
  std::vector<IceoryxMapConfig> maps;
};

/// Limits that iceoryx 2.0 sets, and one of ours: a wait set holds 256 notifiers.
inline constexpr std::uint64_t kIceoryxQueueMax = 256;
inline constexpr std::uint64_t kIceoryxHistoryMax = 16;
inline constexpr std::size_t kIceoryxNameBytesMax = 100;
inline constexpr std::size_t kIceoryxMapsMax = 128;

}  // namespace spillway::core
