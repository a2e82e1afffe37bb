// What connections share: the service, the limits, and how much of each is taken.
//
// One thread.
#pragma once

#include <cstdint>
#include <functional>

#include "edge-agent/ingest/api/service.h"

namespace spillway::agent::api {

struct Door {
  Service& service;
  const core::ApiConfig& config;
  std::function<std::uint64_t()> now_ns;
  std::uint64_t connections = 0;
  std::uint64_t bodies_bytes = 0;  // promised to bodies that are being read or answered
  bool closing = false;            // no connection takes another request
};

/// A request line with its headers, at most.
inline constexpr std::uint32_t kHeaderBytesMax = 16 * 1024;

}  // namespace spillway::agent::api
