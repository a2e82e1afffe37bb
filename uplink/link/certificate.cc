#include "uplink/link/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "spillway/core/env/build_time.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/utc.h"

namespace spillway::uplink {

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::size_t kNamesMax = 32;
constexpr std::size_t kNameBytesMax = 255;

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return core::utc_seconds(parts);
}

/// Without control characters: it goes into logs and terminals.
std::string clean(const char* data, std::size_t size) {
  std::string text(data, std::min(size, kNameBytesMax));
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }, '?');
  return text;
}

std::string subject_of(const X509& certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  if (out == nullptr) return {};
  X509_NAME_print_ex(out.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_ONELINE);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return clean(data, static_cast<std::size_t>(std::max(size, 0L)));
}

std::vector<std::string> names_of(const X509& certificate) {
  std::vector<std::string> names;
  auto* const all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all) && names.size() < kNamesMax; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS && name->type != GEN_URI) continue;
    const ASN1_IA5STRING* const text = name->d.ia5;  // both kinds are this
    names.push_back(clean(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                          static_cast<std::size_t>(ASN1_STRING_length(text))));
  }
  GENERAL_NAMES_free(all);
  return names;
}

std::string fingerprint_of(const X509& certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(&certificate, EVP_sha256(), digest, &size) != 1) return {};
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4U];
    text += kDigits[digest[i] & 15U];
  }
  return text;
}

}  // namespace

std::int64_t check_time_s(std::uint64_t known_utc_ns) {
  const std::uint64_t now_ns = core::env::posix_env().utc_ns();
  return static_cast<std::int64_t>(std::max({now_ns, known_utc_ns, core::env::built_at_ns()}) /
                                   kNsPerSecond);
}

std::string utc_text(std::int64_t utc_s) {
  const std::tm parts = core::utc_calendar(utc_s);
  char text[40];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

std::int64_t begin_of(const X509& certificate) {
  return seconds_of(X509_get0_notBefore(&certificate));
}
std::int64_t end_of(const X509& certificate) {
  return seconds_of(X509_get0_notAfter(&certificate));
}

PeerCertificate describe(const X509& certificate) {
  return {subject_of(certificate), fingerprint_of(certificate), names_of(certificate)};
}

PeerCertificate peer_certificate_of(const SSL& session) {
  const X509* const certificate = SSL_get0_peer_certificate(&session);
  return certificate == nullptr ? PeerCertificate{} : describe(*certificate);
}

}  // namespace spillway::uplink
