// One TLS session: what is checked in it, and what its failures mean, in words for a person.
//
// Threads: the connection's. A TlsVerdict must live as long as the session that writes into it.
#pragma once

#include <boost/asio/ssl/verify_context.hpp>
#include <boost/system/error_code.hpp>
#include <string>

#include "spillway/core/tls_config.h"
#include "uplink/link/certificate.h"
#include "uplink/link/tls.h"

namespace spillway::uplink {

/// The first thing that was wrong with the peer's certificates.
struct TlsVerdict {
  int error = 0;  // X509_V_ERR_...; 0: nothing
  PeerCertificate certificate;
  std::int64_t begin_s = 0;
  std::int64_t end_s = 0;
};

/// Who asks, for the words of an explanation.
struct TlsFacts {
  TlsRole role = TlsRole::kClient;
  std::string host;  // the client's: the name that the certificate must bear
  std::uint64_t known_utc_ns = 0;
  const core::TlsConfig* config = nullptr;
  TlsVerdict verdict;
};

/// Before the handshake: name, time. False: OpenSSL takes no such name.
[[nodiscard]] bool prepare_session(SSL& session, const TlsFacts& facts);

/// The session's verify callback: leaves the judgement to OpenSSL, and keeps its reason.
[[nodiscard]] bool keep_verdict(bool is_good, boost::asio::ssl::verify_context& context,
                                TlsVerdict& verdict);

/// Empty where the error has nothing to do with TLS.
[[nodiscard]] std::string explain_tls(const boost::system::error_code& error,
                                      const TlsFacts& facts);

}  // namespace spillway::uplink
