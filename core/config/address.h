// The addresses a link may have: ws://host[:port][/path] and wss://. Private to core/config.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "spillway/core/result.h"

namespace spillway::core {

struct HostAndPort {
  std::string_view host;
  std::optional<std::uint16_t> port;
};
/// host, host:port, [ipv6] or [ipv6]:port; nothing if it is none of them.
[[nodiscard]] std::optional<HostAndPort> split_host(std::string_view text);

/// What is wrong with an uplink's url; empty if nothing.
[[nodiscard]] std::string complaint_about_url(std::string_view url);
/// The same for the address a consumer listens on, where the port must be given (0: any free one)
/// and no path may be.
[[nodiscard]] std::string complaint_about_listen(std::string_view address);
/// The same for an HTTP proxy: http://host[:port].
[[nodiscard]] std::string complaint_about_proxy(std::string_view address);
[[nodiscard]] inline bool is_secure(std::string_view url) { return url.starts_with("wss://"); }

}  // namespace spillway::core
