// What the configuration says of the adapters that put records in from outside: [iceoryx], [api].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/core/tls_config.h"

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

/// The HTTP API. Every limit has a name.
struct ApiConfig {
  std::string socket;                            // path of a Unix socket; empty: none
  std::string listen;                            // http://address:port or https://; empty: none
  TlsConfig tls;                                 // of https://
  std::string token_file;                        // empty: whoever reaches it may put records
  std::string schema_dir;                        // default: beside the spill directory
  std::uint64_t body_bytes_max = 8ULL << 20;     // of one request
  std::uint64_t bodies_bytes_max = 64ULL << 20;  // of all that are being read
  std::uint64_t records_max = 10'000;            // of one request
  std::uint64_t connections_max = 256;
  std::uint64_t lanes_max = 64;  // topics at a time
  std::uint64_t lane_bytes = 1ULL << 20;
  std::uint64_t max_record_bytes = 64ULL << 10;
  std::uint64_t keys_max = 10'000;  // Idempotency-Keys that are remembered
  std::uint64_t keep_keys_ns = 3'600'000'000'000;
  std::uint64_t header_timeout_ns = 10'000'000'000;
  std::uint64_t body_timeout_ns = 30'000'000'000;
  std::uint64_t idle_timeout_ns = 60'000'000'000;
  std::uint64_t level_timeout_ns = 30'000'000'000;  // for the level that ?level= asks for
};

}  // namespace spillway::core
