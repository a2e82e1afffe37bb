// The address of a native link: ws://host:port/path or wss://host:port/path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "spillway/core/result.h"

namespace spillway::uplink {

struct Endpoint {
  bool tls = false;
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
  std::string path = "/";
};

/// Default ports: 80 and 443, as the schemes have it. kInvalidArgument says what is wrong.
[[nodiscard]] core::Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace spillway::uplink
