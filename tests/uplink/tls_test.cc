// TLS of the native link: what can be wrong with certificates, and that each thing is told in words
// that name it (the table in docs/operations.md).
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "uplink/certificates.h"
#include "uplink/link/certificate.h"
#include "uplink/link/known_time.h"
#include "uplink/link_shell.h"
#include "uplink/relay.h"

namespace spillway::uplink::test {
namespace {

constexpr std::int64_t kDay = 86'400;

class Tls : public ::testing::Test {
 protected:
  Tls() : directory_("tls"), ca_(directory_.path(), "ca"), other_(directory_.path(), "other") {
    ca_.issue("server");
    CertificateSpec gateway;
    gateway.common_name = "pump-3";
    gateway.names = "DNS:pump-3.example,URI:urn:uuid:1b4e28ba-2fa1-41d2-883f-0016d3cca427";
    ca_.issue("gateway", gateway);
  }
  std::string issue_and_fail(const CertificateSpec& spec) {
    ca_.issue("bad", spec);
    shell_.listen(ca_.config("bad", false));
    return shell_.failure(shell_.target(ca_.config("")));
  }
  static void expect(const std::string& said, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      EXPECT_NE(said.find(part), std::string::npos) << "\"" << part << "\" is missing in: " << said;
    }
  }
  std::string open_error(TlsRole role, const core::TlsConfig& config) {
    const auto opened = TlsFiles::open(role, config);
    return opened ? "" : opened.error().message;
  }

  Directory directory_;
  Authority ca_;
  Authority other_;
  LogCapture log_;
  LinkShell shell_;
};

TEST_F(Tls, BothEndsKnowEachOtherByTheirCertificates) {
  shell_.listen(ca_.config("server"));
  shell_.connect(shell_.target(ca_.config("gateway")));
  ASSERT_TRUE(shell_.run_until([&] { return shell_.is_open || shell_.client_end; }));
  ASSERT_TRUE(shell_.is_open) << shell_.client_end->message;
  ASSERT_TRUE(shell_.echo("hello"));
  const PeerCertificate& gateway = shell_.server->peer_certificate();
  EXPECT_EQ(gateway.subject, "CN = pump-3");
  EXPECT_EQ(gateway.names, (std::vector<std::string>{
                               "pump-3.example", "urn:uuid:1b4e28ba-2fa1-41d2-883f-0016d3cca427"}));
  EXPECT_EQ(gateway.fingerprint.size(), 64U);
  EXPECT_EQ(shell_.client->peer_certificate().subject, "CN = localhost");
  // A connection costs its handshakes, its message and the headers of both.
  const WireBytes wire = shell_.client->wire_bytes();
  EXPECT_GT(wire.sent, 1500U);
  EXPECT_LT(wire.sent, 6000U);
  EXPECT_GT(wire.received, 1500U);
  EXPECT_LT(wire.received, 6000U);
}

TEST_F(Tls, AnUnknownAuthorityIsNamed) {
  shell_.listen(ca_.config("server", false));
  expect(shell_.failure(shell_.target(other_.config(""))),
         {"TLS with localhost:", "certificate verify failed", "unknown authority", "other.pem",
          "[uplink.tls]"});
}

TEST_F(Tls, AnExpiredCertificateIsTold) {
  CertificateSpec spec;
  spec.begin_s = -20 * kDay;
  spec.end_s = -10 * kDay;
  expect(issue_and_fail(spec), {"(CN = localhost) expired at 20", "and it is 20", "renewed"});
}

TEST_F(Tls, ACertificateOfTheFutureIsTold) {
  CertificateSpec spec;
  spec.begin_s = 10 * kDay;
  expect(issue_and_fail(spec), {"not valid before 20", "clock"});
}

TEST_F(Tls, AWrongHostNameIsToldWithTheRightOnes) {
  CertificateSpec spec;
  spec.names = "DNS:consumer.example,DNS:other.example";
  expect(issue_and_fail(spec),
         {"is for consumer.example, other.example and not for localhost", "url"});
}

TEST_F(Tls, AnAddressMustStandInTheCertificateToo) {
  CertificateSpec spec;
  spec.names = "DNS:localhost";
  ca_.issue("bad", spec);
  shell_.listen(ca_.config("bad", false));
  LinkTarget target = shell_.target(ca_.config(""));
  target.endpoint.host = "127.0.0.1";
  expect(shell_.failure(target), {"is for localhost and not for 127.0.0.1"});
  ca_.issue("bad");  // with the address
  EXPECT_TRUE([&] {
    shell_.connect(target);
    return shell_.run_until([&] { return shell_.is_open || shell_.client_end; }) && shell_.is_open;
  }()) << shell_.client_end->message;
}

TEST_F(Tls, ACertificateForAnotherPurposeIsTold) {
  CertificateSpec spec;
  spec.usage = "clientAuth";
  expect(issue_and_fail(spec), {"not made for a server", "extendedKeyUsage"});
}

TEST_F(Tls, AGatewayWithoutACertificateIsToldAtBothEnds) {
  shell_.listen(ca_.config("server"));
  expect(shell_.failure(shell_.target(ca_.config(""))),
         {"wants a certificate of ours and none is configured", "[uplink.tls]"});
  EXPECT_TRUE(log_.has("the peer showed no certificate")) << log_.text();
}

TEST_F(Tls, AGatewaysCertificateOfAnotherAuthorityIsToldAtBothEnds) {
  other_.issue("stranger");
  shell_.listen(ca_.config("server"));
  core::TlsConfig config = other_.config("stranger");
  config.ca = ca_.path();
  expect(shell_.failure(shell_.target(config)),
         {"does not know the authority of our certificate", "stranger.pem"});
  EXPECT_TRUE(log_.has("comes from an unknown authority")) << log_.text();
  EXPECT_TRUE(log_.has("[consumer.tls]")) << log_.text();
}

TEST_F(Tls, AGatewaysExpiredCertificateIsToldAtBothEndsAndWarnedOfBefore) {
  CertificateSpec spec;
  spec.common_name = "pump-4";
  spec.begin_s = -20 * kDay;
  spec.end_s = -kDay;
  ca_.issue("old", spec);
  shell_.listen(ca_.config("server"));
  LinkTarget target = shell_.target(ca_.config("old"));
  EXPECT_TRUE(log_.has("old.pem has expired")) << log_.text();
  expect(shell_.failure(target), {"our certificate", "old.pem", "expired", "renew"});
  EXPECT_TRUE(log_.has("(CN = pump-4) expired at")) << log_.text();
}

TEST_F(Tls, AnOwnCertificateThatEndsSoonIsWarnedOf) {
  CertificateSpec spec;
  spec.end_s = 5 * kDay + 3600;
  ca_.issue("soon", spec);
  ASSERT_EQ(open_error(TlsRole::kServer, ca_.config("soon")), "");
  EXPECT_TRUE(log_.has("soon.pem expires in 5 days")) << log_.text();
}

TEST_F(Tls, TlsToAPortWithoutIsTold) {
  shell_.listen();
  expect(shell_.failure(shell_.target(ca_.config(""))), {"does not speak TLS", "write ws://"});
  EXPECT_TRUE(log_.has("speaks TLS on a port without")) << log_.text();
}

TEST_F(Tls, NoTlsToAPortWithItIsTold) {
  shell_.listen(ca_.config("server", false));
  expect(shell_.failure(shell_.target()), {"HTTP 400", "write wss://"});
  EXPECT_TRUE(log_.has("does not speak TLS on a port with it")) << log_.text();
}

TEST_F(Tls, AnOlderTlsIsTold) {
  // What a server answers that knows no TLS 1.3: the alert protocol_version.
  const RubbishServer server(std::string("\x15\x03\x01\x00\x02\x02\x46", 7));
  LinkTarget target = shell_.target(ca_.config(""));
  target.endpoint.port = server.port();
  expect(shell_.failure(target), {"does not speak TLS 1.3", "update"});
}

TEST_F(Tls, APeerThatClosesInTheHandshakeIsTold) {
  const RubbishServer server("");
  LinkTarget target = shell_.target(ca_.config(""));
  target.endpoint.port = server.port();
  expect(shell_.failure(target), {"TLS with localhost"});
}

TEST_F(Tls, FilesThatCannotBeUsedAreNamedWithTheReason) {
  core::TlsConfig config = ca_.config("gateway");
  config.key = ca_.config("server").key;
  expect(open_error(TlsRole::kClient, config),
         {"private key", "server.key", "does not belong to the certificate"});
  config.key = directory_.path() + "/none.key";
  expect(open_error(TlsRole::kClient, config), {"none.key", "No such file"});
  config = ca_.config("gateway");
  config.certificate = config.key;
  expect(open_error(TlsRole::kClient, config), {"own certificate", "gateway.key", "PEM"});
  write_text(directory_.path() + "/empty.pem", "");
  config = ca_.config("gateway");
  config.ca = directory_.path() + "/empty.pem";
  expect(open_error(TlsRole::kClient, config), {"authorities", "empty.pem"});
  expect(open_error(TlsRole::kServer, ca_.config("")), {"wss:// needs a certificate"});
}

TEST_F(Tls, AFileThatMayNotBeReadIsTold) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const core::TlsConfig config = ca_.config("gateway");
  ASSERT_EQ(::chmod(config.key.c_str(), 0), 0);
  expect(open_error(TlsRole::kClient, config), {"gateway.key", "Permission denied", "user"});
}

TEST_F(Tls, AKeyWithAPasswordIsRefusedAndNotAskedFor) {
  const core::TlsConfig config = ca_.config("gateway");
  std::FILE* in = std::fopen(config.key.c_str(), "re");
  EVP_PKEY* const key = PEM_read_PrivateKey(in, nullptr, nullptr, nullptr);
  std::fclose(in);
  std::FILE* const out = std::fopen(config.key.c_str(), "we");
  const char password[] = "secret";
  PEM_write_PrivateKey(out, key, EVP_aes_256_cbc(),
                       reinterpret_cast<const unsigned char*>(password), 6, nullptr, nullptr);
  std::fclose(out);
  EVP_PKEY_free(key);
  expect(open_error(TlsRole::kClient, config), {"gateway.key", "locked by a password"});
}

TEST_F(Tls, RenewedFilesAreTakenUpForTheNextConnectionAndBrokenOnesAreNot) {
  shell_.listen(ca_.config("server"));
  const LinkTarget target = shell_.target(ca_.config("gateway"));
  const auto connect = [&] {
    shell_.connect(target);
    return shell_.run_until([&] { return shell_.is_open || shell_.client_end; }) && shell_.is_open;
  };
  ASSERT_TRUE(connect());
  const std::string old_server = shell_.client->peer_certificate().fingerprint;
  const auto first = shell_.client;
  const auto first_server = shell_.server;
  // Both ends' certificates are renewed.
  ca_.issue("server");
  ca_.issue("gateway", CertificateSpec{"pump-3-renewed", "DNS:pump-3", -3600, 90 * kDay, ""});
  ASSERT_TRUE(connect());
  EXPECT_NE(shell_.client->peer_certificate().fingerprint, old_server);
  EXPECT_EQ(shell_.server->peer_certificate().subject, "CN = pump-3-renewed");
  EXPECT_TRUE(log_.has("changed certificate files were taken up"));
  const std::string new_server = shell_.client->peer_certificate().fingerprint;
  shell_.client->abort();
  // A broken one changes nothing, and is told once.
  write_text(ca_.config("server").certificate, "-----BEGIN CERTIFICATE-----\nrubbish\n");
  ASSERT_TRUE(connect());
  EXPECT_EQ(shell_.client->peer_certificate().fingerprint, new_server);
  shell_.client->abort();
  ASSERT_TRUE(connect());
  const std::string log = log_.text();
  const std::string told = "the certificates from before stay in force";
  EXPECT_NE(log.find(told), std::string::npos) << log;
  EXPECT_EQ(log.find(told), log.rfind(told)) << log;
  // The session from before the first change lives on.
  first_server->send(bytes_of("still here"));
  EXPECT_TRUE(shell_.run_until(
      [&] { return !shell_.at_client.empty() && shell_.at_client.back() == "still here"; }));
  first->abort();
  first_server->abort();
}

TEST_F(Tls, TimesAreCheckedAgainstTheLatestOfClockBuildAndWhatWasKnown) {
  const std::int64_t now_s = check_time_s(0);
  EXPECT_GT(now_s, 1'700'000'000);
  const std::uint64_t later_ns = (static_cast<std::uint64_t>(now_s) + 100 * kDay) * 1'000'000'000;
  EXPECT_EQ(check_time_s(later_ns), now_s + 100 * kDay);
  EXPECT_GE(check_time_s(1'000'000'000), now_s) << "a time before the build is none";
  // Known from before to be later than the certificate's end, whatever the clock says.
  CertificateSpec spec;
  spec.end_s = 50 * kDay;
  ca_.issue("server", spec);
  shell_.listen(ca_.config("server", false));
  LinkTarget target = shell_.target(ca_.config(""));
  target.known_utc_ns = later_ns;
  expect(shell_.failure(target), {"expired at"});
}

}  // namespace
}  // namespace spillway::uplink::test
