// LinkTarget: everything that one connection of the native link needs to know beforehand.
//
// Plain data; copied into the connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "uplink/link/endpoint.h"

namespace spillway::uplink {

class TlsFiles;

/// An HTTP proxy that connects by CONNECT.
struct Proxy {
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
  std::string credentials_file;  // "user:password"; read for each connection; empty: none are sent
};

struct LinkTimeouts {
  /// For one address; all of a name's but the last get a shorter one.
  std::chrono::milliseconds connect{10'000};
  /// While hands are shaken: how long neither a byte may come nor one of ours be acknowledged. A
  /// slow link gets its time, a dead one does not.
  std::chrono::milliseconds silence{10'000};
  /// An open link that was silent for so long is asked for a sign of life. Traffic costs nothing; on
  /// a metered link that idles, this is what it costs.
  std::chrono::milliseconds ping{4'000};
};

struct LinkTarget {
  Endpoint endpoint;
  std::shared_ptr<TlsFiles> tls;  // needed if and only if the endpoint says so
  std::optional<Proxy> proxy;
  std::string interface;  // leave by this one only ("wwan0"); empty: as the routes have it
  LinkTimeouts timeouts;
  /// The latest UTC that was ever known for certain: certificates are not checked against an
  /// earlier time, whatever the clock says (see known_time.h).
  std::uint64_t known_utc_ns = 0;
};

}  // namespace spillway::uplink
