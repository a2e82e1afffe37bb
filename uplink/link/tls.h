// TLS contexts of both ends: TLS 1.3 only, the peer's certificate always checked by the client,
// host name included.
#pragma once

#include <memory>

#include "spillway/core/config.h"
#include "spillway/core/result.h"

namespace boost::asio::ssl {
class context;
}

namespace spillway::uplink {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

/// Trusts `ca`, or the system's authorities; presents `certificate` if there is one.
[[nodiscard]] core::Result<TlsContext> make_client_tls(const core::TlsConfig& config);
/// Needs `certificate` and `key`. With `ca`, clients must present a certificate from it.
[[nodiscard]] core::Result<TlsContext> make_server_tls(const core::TlsConfig& config);

}  // namespace spillway::uplink
