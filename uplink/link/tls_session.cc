#include "uplink/link/tls_session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>

namespace spillway::uplink {

namespace {

std::string section(TlsRole role) {
  return role == TlsRole::kClient ? "[uplink.tls]" : "[consumer.tls]";
}

std::string names_of(const PeerCertificate& certificate) {
  std::string text;
  for (const std::string& name : certificate.names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "no name at all" : text;
}

std::string authorities_of(const TlsFacts& facts) {
  const bool named = facts.config != nullptr && !facts.config->ca.empty();
  return named ? facts.config->ca : "the system's store";
}

/// X509_V_ERR_... in words.
std::string explain_verdict(const TlsFacts& facts) {
  const TlsVerdict& verdict = facts.verdict;
  const std::string whose =
      "certificate verify failed: its certificate (" + verdict.certificate.subject + ") ";
  const std::int64_t now_s = check_time_s(facts.known_utc_ns);
  switch (verdict.error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return whose + "comes from an unknown authority: none in " + authorities_of(facts) +
             " has signed it; name the file with its authority as ca in " + section(facts.role);
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return whose + "expired at " + utc_text(verdict.end_s) + ", and it is " + utc_text(now_s) +
             "; it must be renewed there";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return whose + "is not valid before " + utc_text(verdict.begin_s) + ", and it is " +
             utc_text(now_s) + "; set the clock of this machine, or look at that of the authority";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return whose + "is for " + names_of(verdict.certificate) + " and not for " + facts.host +
             ": write a name of its own into the url, or give it a certificate for this one";
    case X509_V_ERR_INVALID_PURPOSE:
      return whose + "is not made for a " + (facts.role == TlsRole::kClient ? "server" : "client") +
             " (extendedKeyUsage); have another one made";
    default:
      return whose + "does not hold: " + X509_verify_cert_error_string(verdict.error);
  }
}

std::string own_certificate(const TlsFacts& facts) {
  const bool named = facts.config != nullptr && !facts.config->certificate.empty();
  return named ? "our certificate (" + facts.config->certificate + ")" : "our certificate";
}

/// What the peer said before it closed: TLS alerts. TLS 1.3 lets a client know of those about its
/// certificate only with the first read after its handshake.
std::string explain_alert(int reason, const TlsFacts& facts) {
  switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "the far end wants a certificate of ours and none is configured: set certificate and "
             "key in " +
             section(facts.role);
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return "the far end does not know the authority of " + own_certificate(facts) +
             ": its ca must hold that, or ours be from one that it has";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "to the far end " + own_certificate(facts) +
             " has expired or is not valid yet: renew it, and compare the clocks of both";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      return "to the far end " + own_certificate(facts) + " was revoked";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return "the far end refuses " + own_certificate(facts) + "; its log says why";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "the far end does not speak TLS 1.3, and nothing older is safe enough; update it";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return "the far end has no way of TLS in common with ours; it may be older than TLS 1.3";
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
      return "the far end knows nobody of the name " + facts.host + "; look at the url";
    default:
      return "";
  }
}

std::string explain_reason(int reason, const TlsFacts& facts) {
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return explain_verdict(facts);
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return facts.role == TlsRole::kClient
                 ? "what answers there does not speak TLS: if its port is one without, write "
                   "ws://; "
                   "it may also be a proxy or portal in between"
                 : "the peer does not speak TLS on this port; its url must begin with wss://";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
      return "the far end does not speak TLS 1.3, and nothing older is safe enough; update it";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the peer showed no certificate, and only those of " + authorities_of(facts) +
             " are let in: set certificate and key at its end";
    default:
      return explain_alert(reason, facts);
  }
}

}  // namespace

bool prepare_session(SSL& session, const TlsFacts& facts) {
  X509_VERIFY_PARAM* const checks = SSL_get0_param(&session);
  X509_VERIFY_PARAM_set_time(checks, check_time_s(facts.known_utc_ns));
  if (facts.role == TlsRole::kServer) return true;
  boost::system::error_code not_an_address;
  boost::asio::ip::make_address(facts.host, not_an_address);
  if (!not_an_address) return X509_VERIFY_PARAM_set1_ip_asc(checks, facts.host.c_str()) == 1;
  X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(checks, facts.host.data(), facts.host.size()) == 1 &&
         SSL_set_tlsext_host_name(&session, facts.host.c_str()) == 1;
}

bool keep_verdict(bool is_good, boost::asio::ssl::verify_context& context, TlsVerdict& verdict) {
  if (is_good || verdict.error != 0) return is_good;
  X509_STORE_CTX* const store = context.native_handle();
  verdict.error = X509_STORE_CTX_get_error(store);
  const X509* const certificate = X509_STORE_CTX_get_current_cert(store);
  if (certificate == nullptr) return is_good;
  verdict.certificate = describe(*certificate);
  verdict.begin_s = begin_of(*certificate);
  verdict.end_s = end_of(*certificate);
  return is_good;
}

std::string explain_tls(const boost::system::error_code& error, const TlsFacts& facts) {
  if (error == boost::asio::ssl::error::stream_truncated) {
    return "the peer closed the connection in the middle of TLS: " +
           std::string(facts.role == TlsRole::kClient
                           ? "its log says why; if its port is one without TLS, write ws://"
                           : "the link was cut, or the peer gave up");
  }
  if (error.category() != boost::asio::error::get_ssl_category()) return "";
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  const std::string words = explain_reason(reason, facts);
  return words.empty() ? error.message() : words;
}

}  // namespace spillway::uplink
