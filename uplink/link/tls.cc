#include "uplink/link/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/ssl/context.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "spillway/core/env/build_time.h"
#include "spillway/core/log.h"
#include "uplink/link/certificate.h"

namespace spillway::uplink {

namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using core::ErrorCode;
using core::fail;
using core::Result;

constexpr std::int64_t kSecondsPerDay = 86'400;
/// An own certificate that ends within so many days is warned of, once a day.
constexpr std::int64_t kWarnDays = 30;

tl::unexpected<core::Error> bad_file(const std::string& what, const std::string& path,
                                     const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, "cannot use " + what + " from " + path + ": " + why);
}

/// Why OpenSSL cannot read a file as what it should be.
std::string reason_of(const error_code& error) {
  const auto code = static_cast<unsigned long>(error.value());
  const int reason = ERR_GET_REASON(code);
  if (ERR_GET_LIB(code) == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE)
    return "it holds no such thing in PEM form (\"-----BEGIN ...\")";
  if (ERR_GET_LIB(code) == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH)
    return "it does not belong to the certificate";
  return error.message() + "; it must be a PEM file";
}

/// OpenSSL's own messages hide whether a file is missing or may not be read.
Result<void> check_readable(const std::string& what, const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    const std::string hint =
        errno == EACCES ? "; the user that this daemon runs as must be able to read it" : "";
    return bad_file(what, path, std::strerror(errno) + hint);
  }
  std::fclose(file);
  return {};
}

Result<void> present(ssl::context& context, const core::TlsConfig& config) {
  const std::string own = "the own certificate";
  const std::string secret = "the private key";
  SPILLWAY_CHECKED(check_readable(own, config.certificate));
  SPILLWAY_CHECKED(check_readable(secret, config.key));
  error_code error;
  context.use_certificate_chain_file(config.certificate, error);
  if (error) return bad_file(own, config.certificate, reason_of(error));
  bool asked = false;
  context.set_password_callback(
      [&asked](std::size_t, ssl::context::password_purpose) {
        asked = true;
        return std::string();
      },
      error);
  if (!error) context.use_private_key_file(config.key, ssl::context::pem, error);
  if (error && asked) {
    return bad_file(secret, config.key,
                    "it is locked by a password, which a daemon cannot be asked for; store it "
                    "without (openssl pkey -in ... -out ...) and protect the file");
  }
  if (error) return bad_file(secret, config.key, reason_of(error));
  // The callback refers to a local.
  context.set_password_callback(
      [](std::size_t, ssl::context::password_purpose) { return std::string(); }, error);
  return {};
}

Result<void> trust(ssl::context& context, const std::string& path) {
  const std::string what = "the certificate authorities";
  SPILLWAY_CHECKED(check_readable(what, path));
  error_code error;
  context.load_verify_file(path, error);
  if (error) return bad_file(what, path, reason_of(error));
  return {};
}

Result<TlsContext> make_context(TlsRole role) {
  const bool client = role == TlsRole::kClient;
  auto context =
      std::make_shared<ssl::context>(client ? ssl::context::tls_client : ssl::context::tls_server);
  if (SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_3_VERSION) != 1) {
    return fail(ErrorCode::kIo, "this OpenSSL cannot do TLS 1.3");
  }
  // Sessions are never resumed: each connection shows its certificate anew, so that tickets would
  // be bytes for nothing.
  SSL_CTX_set_num_tickets(context->native_handle(), 0);
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  return context;
}

Result<void> set_trust(ssl::context& context, TlsRole role, const core::TlsConfig& config) {
  error_code error;
  const bool client = role == TlsRole::kClient;
  if (!config.ca.empty()) {
    SPILLWAY_CHECKED(trust(context, config.ca));
  } else if (client) {
    context.set_default_verify_paths(error);
    if (error)
      return bad_file("the certificate authorities", "the system's store", error.message());
  } else {
    return {};
  }
  context.set_verify_mode(
      client ? ssl::verify_peer : (ssl::verify_peer | ssl::verify_fail_if_no_peer_cert), error);
  if (error) return fail(ErrorCode::kIo, "cannot switch on certificate checks: " + error.message());
  return {};
}

FileStamp stamp_of(const std::string& path) {
  struct stat status {};
  if (path.empty() || ::stat(path.c_str(), &status) != 0) return {};
  return {
      status.st_ino, static_cast<std::uint64_t>(status.st_size),
      static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

}  // namespace

Result<std::shared_ptr<TlsFiles>> TlsFiles::open(TlsRole role, core::TlsConfig config) {
  if (role == TlsRole::kServer && (config.certificate.empty() || config.key.empty())) {
    return fail(
        ErrorCode::kInvalidArgument,
        "wss:// needs a certificate and its key: set certificate and key in [consumer.tls]");
  }
  std::shared_ptr<TlsFiles> files(new TlsFiles(role, std::move(config)));
  files->stamps_ = files->look();
  SPILLWAY_CHECKED(files->load());
  files->warn_of_end();
  return files;
}

TlsFiles::Stamps TlsFiles::look() const {
  return {stamp_of(config_.ca), stamp_of(config_.certificate), stamp_of(config_.key)};
}

Result<void> TlsFiles::load() {
  SPILLWAY_TRY(context, make_context(role_));
  if (!config_.certificate.empty()) SPILLWAY_CHECKED(present(*context, config_));
  SPILLWAY_CHECKED(set_trust(*context, role_, config_));
  const X509* const own = SSL_CTX_get0_certificate(context->native_handle());
  expires_s_ = own == nullptr ? 0 : end_of(*own);
  context_ = context;
  return {};
}

TlsContext TlsFiles::current() {
  if (const Stamps seen = look(); seen != stamps_) {
    stamps_ = seen;
    if (const auto loaded = load()) {
      spdlog::info("TLS: changed certificate files were taken up");
      warned_day_ = -1;
    } else {
      spdlog::warn("TLS: {}; the certificates from before stay in force", loaded.error().message);
    }
  }
  warn_of_end();
  return context_;
}

/// By the better of clock and build: a clock of 1970 knows nothing of an end.
void TlsFiles::warn_of_end() {
  if (expires_s_ == 0) return;
  const std::int64_t now_s = check_time_s(0);
  const std::int64_t today = now_s / kSecondsPerDay;
  if (today == warned_day_ || expires_s_ - now_s > kWarnDays * kSecondsPerDay) return;
  warned_day_ = today;
  if (expires_s_ <= now_s) {
    spdlog::warn(
        "TLS: the own certificate {} has expired ({}): the far end will refuse it; renew it",
        config_.certificate, utc_text(expires_s_));
  } else {
    spdlog::warn("TLS: the own certificate {} expires in {} days ({}): renew it",
                 config_.certificate, (expires_s_ - now_s) / kSecondsPerDay, utc_text(expires_s_));
  }
}

}  // namespace spillway::uplink
