#include "uplink/link/endpoint.h"

#include <charconv>

namespace spillway::uplink {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

tl::unexpected<core::Error> bad(std::string_view url, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument,
              "\"" + std::string(url) + "\" is no address of a native link: " + std::string(why) +
                  " (write ws://host:port or wss://host:port)");
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view url) {
  Endpoint endpoint;
  std::string_view rest = url;
  if (rest.starts_with("wss://")) {
    endpoint.tls = true;
    rest.remove_prefix(6);
  } else if (rest.starts_with("ws://")) {
    rest.remove_prefix(5);
  } else {
    return bad(url, "it begins with neither ws:// nor wss://");
  }
  endpoint.port = endpoint.tls ? 443 : 80;
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    endpoint.path = std::string(rest.substr(slash));
    rest = rest.substr(0, slash);
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad(url, "the bracket is not closed");
    endpoint.host = std::string(rest.substr(1, end - 1));
    port = rest.substr(end + 1);
  } else {
    const std::size_t colon = rest.find(':');
    endpoint.host = std::string(rest.substr(0, colon));
    if (colon != std::string_view::npos) port = rest.substr(colon);
  }
  if (endpoint.host.empty()) return bad(url, "it names no host");
  if (endpoint.path.find_first_of(" \r\n") != std::string::npos)
    return bad(url, "blanks in its path");
  if (port.empty()) return endpoint;
  port.remove_prefix(1);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size()) {
    return bad(url, "its port is no number up to 65535");
  }
  return endpoint;
}

}  // namespace spillway::uplink
