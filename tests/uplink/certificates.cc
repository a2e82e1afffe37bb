#include "uplink/certificates.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace spillway::uplink::test {

namespace {

template <typename Write>
void write_pem(const std::string& path, Write write) {
  // A new file each time, as tools that renew certificates do it.
  const std::string temporary = path + ".new";
  std::FILE* const file = std::fopen(temporary.c_str(), "we");
  ASSERT_NE(file, nullptr) << temporary;
  write(file);
  std::fclose(file);
  std::filesystem::rename(temporary, path);
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

Authority::Authority(std::string directory, const std::string& name)
    : directory_(std::move(directory)),
      name_(name),
      key_(EVP_EC_gen("P-256"), &EVP_PKEY_free),
      certificate_(nullptr, &X509_free) {
  CertificateSpec spec;
  spec.common_name = name;
  spec.names.clear();
  spec.begin_s = -10LL * 365 * 86'400;
  spec.end_s = 10LL * 365 * 86'400;
  certificate_ = make(spec, key_.get(), true);
  write_pem(path(), [&](std::FILE* file) { PEM_write_X509(file, certificate_.get()); });
}

Authority::Certificate Authority::make(const CertificateSpec& spec, EVP_PKEY* key,
                                       bool is_authority) {
  Certificate made(X509_new(), &X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial_++);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), spec.begin_s);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), spec.end_s);
  X509_set_pubkey(made.get(), key);
  X509_NAME* const subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(spec.common_name.c_str()), -1,
                             -1, 0);
  X509* const issuer = is_authority ? made.get() : certificate_.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
  add_extension(made.get(), issuer, NID_basic_constraints,
                is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!spec.names.empty()) add_extension(made.get(), issuer, NID_subject_alt_name, spec.names);
  if (!spec.usage.empty()) add_extension(made.get(), issuer, NID_ext_key_usage, spec.usage);
  EXPECT_GT(X509_sign(made.get(), key_.get(), EVP_sha256()), 0);
  return made;
}

void Authority::issue(const std::string& stem, const CertificateSpec& spec) {
  const Key key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const Certificate made = make(spec, key.get(), false);
  write_pem(directory_ + "/" + stem + ".pem",
            [&](std::FILE* file) { PEM_write_X509(file, made.get()); });
  write_pem(directory_ + "/" + stem + ".key", [&](std::FILE* file) {
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

core::TlsConfig Authority::config(const std::string& stem, bool with_ca) const {
  core::TlsConfig config;
  if (with_ca) config.ca = path();
  if (stem.empty()) return config;
  config.certificate = directory_ + "/" + stem + ".pem";
  config.key = directory_ + "/" + stem + ".key";
  return config;
}

Directory::Directory(const std::string& name)
    : path_(::testing::TempDir() + "/" + name + "-" + std::to_string(::getpid())) {
  std::filesystem::remove_all(path_);
  std::filesystem::create_directories(path_);
}

Directory::~Directory() { std::filesystem::remove_all(path_); }

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
}

}  // namespace spillway::uplink::test
