#include "uplink/link/tls.h"

#include <boost/asio/ssl/context.hpp>

namespace spillway::uplink {

namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using core::ErrorCode;
using core::fail;
using core::Result;

tl::unexpected<core::Error> bad_file(const std::string& what, const std::string& path,
                                     const error_code& error) {
  return fail(ErrorCode::kInvalidArgument, "cannot use " + what + " from " + path + ": " +
                                               error.message() +
                                               "; it must be a readable PEM file");
}

Result<void> present(ssl::context& context, const core::TlsConfig& config) {
  error_code error;
  context.use_certificate_chain_file(config.certificate, error);
  if (error) return bad_file("the certificate", config.certificate, error);
  context.use_private_key_file(config.key, ssl::context::pem, error);
  if (error)
    return bad_file("the private key (it must belong to the certificate)", config.key, error);
  return {};
}

Result<TlsContext> make_tls(ssl::context::method method) {
  auto context = std::make_shared<ssl::context>(method);
  if (SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_3_VERSION) != 1) {
    return fail(ErrorCode::kIo, "this OpenSSL cannot do TLS 1.3");
  }
  return context;
}

Result<void> trust(ssl::context& context, const std::string& path) {
  error_code error;
  context.load_verify_file(path, error);
  if (error) return bad_file("the certificate authorities", path, error);
  return {};
}

}  // namespace

Result<TlsContext> make_client_tls(const core::TlsConfig& config) {
  SPILLWAY_TRY(context, make_tls(ssl::context::tls_client));
  error_code error;
  if (config.ca.empty()) {
    context->set_default_verify_paths(error);
    if (error) return bad_file("the certificate authorities", "the system's store", error);
  } else {
    SPILLWAY_CHECKED(trust(*context, config.ca));
  }
  context->set_verify_mode(ssl::verify_peer, error);
  if (error) return fail(ErrorCode::kIo, "cannot switch on certificate checks: " + error.message());
  if (!config.certificate.empty()) SPILLWAY_CHECKED(present(*context, config));
  return context;
}

Result<TlsContext> make_server_tls(const core::TlsConfig& config) {
  if (config.certificate.empty() || config.key.empty()) {
    return fail(
        ErrorCode::kInvalidArgument,
        "wss:// needs a certificate and its key: set certificate and key in [consumer.tls]");
  }
  SPILLWAY_TRY(context, make_tls(ssl::context::tls_server));
  SPILLWAY_CHECKED(present(*context, config));
  if (config.ca.empty()) return context;
  SPILLWAY_CHECKED(trust(*context, config.ca));
  error_code error;
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  if (error) return fail(ErrorCode::kIo, "cannot switch on certificate checks: " + error.message());
  return context;
}

}  // namespace spillway::uplink
