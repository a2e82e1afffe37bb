// The HTTP proxy of a native link: its address, what is said to it, and what its answers mean.
//
// Pure but for read_credentials. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "spillway/core/result.h"
#include "uplink/link/link_target.h"

namespace spillway::core {
struct ProxyConfig;
}

namespace spillway::uplink {

/// "http://host:port" (3128 where it is left out). kInvalidArgument says what is wrong.
[[nodiscard]] core::Result<Proxy> parse_proxy(std::string_view url, std::string credentials_file);

/// Nothing where none is configured.
[[nodiscard]] core::Result<std::optional<Proxy>> proxy_of(const core::ProxyConfig& config);

/// The file's first line, "user:password". A file that everybody may read is refused: a password
/// stands in it.
[[nodiscard]] core::Result<std::string> read_credentials(const std::string& path);

/// "host:port", with brackets around an IPv6 address.
[[nodiscard]] std::string authority_of(std::string_view host, std::uint16_t port);

/// The whole request. `credentials` may be empty.
[[nodiscard]] std::string connect_request(const Endpoint& endpoint, std::string_view credentials);

/// What a person reads of an answer in HTTP that is not the one hoped for.
struct HttpAnswer {
  unsigned status = 0;
  std::string reason;
  std::string location;  // of a redirection
  std::string content_type;
  std::string authenticate;  // the schemes that a proxy offers
};

/// Why the proxy's answer is no open way to the consumer. `gave_credentials`: it was given some.
[[nodiscard]] core::Error explain_proxy(const HttpAnswer& answer, const std::string& proxy,
                                        const std::string& peer, bool gave_credentials);
/// Why the answer to the WebSocket upgrade is none: a portal, a redirection, another server.
[[nodiscard]] core::Error explain_upgrade(const HttpAnswer& answer, const std::string& peer,
                                          bool is_tls);

}  // namespace spillway::uplink
