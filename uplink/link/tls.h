// TLS of both ends: TLS 1.3 only, the peer's certificate always checked by the client, host name
// included.
//
// TlsFiles is a set of certificate files and the context made of them. The files are looked at
// before each new connection: changed ones are taken up without a restart, and sessions that stand
// keep what they have.
//
// Threads: one.
//
// Invariants:
//  1. current() never fails: files that cannot be used leave the last good context in force, and say
//     so once.
//  2. A private key that wants a password is an error, never a prompt.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "spillway/core/tls_config.h"

namespace boost::asio::ssl {
class context;
}

namespace spillway::uplink {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

enum class TlsRole : std::uint8_t { kClient, kServer };

/// What a peer showed of itself in TLS.
struct PeerCertificate {
  std::string subject;             // "CN = pump-3"
  std::string fingerprint;         // SHA-256 of the certificate, 64 hexadecimal digits
  std::vector<std::string> names;  // DNS names and URIs of its subjectAltName
  [[nodiscard]] bool is_empty() const { return fingerprint.empty(); }
};

/// One look at a file: other values mean another content.
struct FileStamp {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

class TlsFiles {
 public:
  /// A client trusts `ca`, or the system's authorities, and presents `certificate` if there is one.
  /// A server needs `certificate` and `key`; with `ca`, clients must present a certificate from it.
  /// kInvalidArgument says which file cannot be used, and why.
  [[nodiscard]] static core::Result<std::shared_ptr<TlsFiles>> open(TlsRole role,
                                                                    core::TlsConfig config);

  /// The context for a new connection.
  [[nodiscard]] TlsContext current();
  [[nodiscard]] const core::TlsConfig& config() const { return config_; }
  /// When the own certificate ends, seconds UTC; 0 without one.
  [[nodiscard]] std::int64_t expires_s() const { return expires_s_; }

 private:
  using Stamps = std::array<FileStamp, 3>;

  TlsFiles(TlsRole role, core::TlsConfig config) : role_(role), config_(std::move(config)) {}
  [[nodiscard]] Stamps look() const;
  [[nodiscard]] core::Result<void> load();
  void warn_of_end();

  TlsRole role_;
  core::TlsConfig config_;
  Stamps stamps_{};
  TlsContext context_;
  std::int64_t expires_s_ = 0;
  std::int64_t warned_day_ = -1;
};

}  // namespace spillway::uplink
