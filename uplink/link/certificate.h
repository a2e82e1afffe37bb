// What OpenSSL knows of a certificate, in words for a person; and the time certificates are checked
// against.
//
// Any thread.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdint>
#include <string>

#include "uplink/link/tls.h"

namespace spillway::uplink {

/// The latest of the clock, the build and what was known for certain before, in seconds UTC: a
/// gateway without a clock battery starts in 1970, where no certificate is valid yet.
[[nodiscard]] std::int64_t check_time_s(std::uint64_t known_utc_ns);
/// "2026-11-28 02:42:52 UTC".
[[nodiscard]] std::string utc_text(std::int64_t utc_s);

/// Seconds UTC; 0 if the certificate's time cannot be read.
[[nodiscard]] std::int64_t begin_of(const X509& certificate);
[[nodiscard]] std::int64_t end_of(const X509& certificate);

/// At most kNamesMax names, each at most kNameBytesMax long: it comes from the peer.
[[nodiscard]] PeerCertificate describe(const X509& certificate);
/// What the peer of this TLS session showed; empty if nothing.
[[nodiscard]] PeerCertificate peer_certificate_of(const SSL& session);

}  // namespace spillway::uplink
