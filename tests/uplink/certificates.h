// Certificates as a test needs them, good and bad, made by OpenSSL's library.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>

#include "spillway/core/config.h"

namespace spillway::uplink::test {

struct CertificateSpec {
  std::string common_name = "localhost";
  std::string names = "DNS:localhost,IP:127.0.0.1";  // its subjectAltName, as openssl.cnf has it
  std::int64_t begin_s = -3600;                      // from now
  std::int64_t end_s = 90 * 86'400;
  std::string usage;  // extendedKeyUsage; empty: any
};

class Authority {
 public:
  /// Leaves <name>.pem in the directory.
  Authority(std::string directory, const std::string& name);

  /// Leaves <stem>.pem and <stem>.key in the directory.
  void issue(const std::string& stem, const CertificateSpec& spec = {});
  [[nodiscard]] std::string path() const { return directory_ + "/" + name_ + ".pem"; }
  /// `stem` empty: no certificate of its own. `with_ca`: this authority is trusted.
  [[nodiscard]] core::TlsConfig config(const std::string& stem, bool with_ca = true) const;

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

  Certificate make(const CertificateSpec& spec, EVP_PKEY* key, bool is_authority);

  std::string directory_;
  std::string name_;
  Key key_;
  Certificate certificate_;
  long serial_ = 1;
};

/// A new directory below gtest's, removed with it.
class Directory {
 public:
  explicit Directory(const std::string& name);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void write_text(const std::string& path, const std::string& text);

}  // namespace spillway::uplink::test
