// What stands between a gateway and its consumer: proxies, portals, redirections, names and
// interfaces that are not there.
#include "uplink/link/proxy.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "uplink/certificates.h"
#include "uplink/connect_proxy.h"
#include "uplink/link_shell.h"
#include "uplink/relay.h"

namespace spillway::uplink::test {
namespace {

class ProxyWay : public ::testing::Test {
 protected:
  ProxyWay() : directory_("proxy") {}

  std::string credentials(const std::string& text, mode_t mode = 0600) {
    const std::string path = directory_.path() + "/credentials";
    write_text(path, text);
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  /// What is told where the proxy answers so.
  std::string answered(const std::string& answer, const std::string& credentials_file = "") {
    const RubbishServer proxy(answer);
    LinkTarget target = shell_.target();
    target.endpoint = {false, "consumer.example", 7443, "/"};
    target.proxy = Proxy{"127.0.0.1", proxy.port(), credentials_file};
    return shell_.failure(target);
  }
  /// What is told where the consumer's port answers so.
  std::string upgraded(const std::string& answer) {
    const RubbishServer server(answer);
    LinkTarget target = shell_.target();
    target.endpoint.port = server.port();
    return shell_.failure(target);
  }
  static void expect(const std::string& said, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      EXPECT_NE(said.find(part), std::string::npos) << "\"" << part << "\" is missing in: " << said;
    }
  }
  bool opens(const LinkTarget& target) {
    shell_.connect(target);
    return shell_.run_until([&] { return shell_.is_open || shell_.client_end; }) && shell_.is_open;
  }

  Directory directory_;
  LinkShell shell_;
};

TEST_F(ProxyWay, CarriesALinkWithAndWithoutTlsAndKnowsItsPassword) {
  Authority ca(directory_.path(), "ca");
  ca.issue("server");
  for (const bool tls : {false, true}) {
    LinkShell shell;
    ConnectProxy proxy(shell.io);
    shell.listen(tls ? std::optional(ca.config("server", false)) : std::nullopt);
    proxy.lead_to(shell.port());
    proxy.want_authorization("Basic cHVtcC0zOnM6M2NyZXQ=");
    LinkTarget target = shell.target(tls ? std::optional(ca.config("")) : std::nullopt);
    target.proxy = Proxy{"localhost", proxy.port(), credentials("pump-3:s:3cret\n")};
    shell.connect(target);
    ASSERT_TRUE(shell.run_until([&] { return shell.is_open || shell.client_end; }));
    ASSERT_TRUE(shell.is_open) << shell.client_end->message;
    EXPECT_TRUE(shell.echo(std::string(300'000, 'x')));
    const std::string authority = "localhost:" + std::to_string(shell.port());
    EXPECT_TRUE(proxy.requests().front().starts_with("CONNECT " + authority +
                                                     " HTTP/1.1\r\nHost: " + authority + "\r\n"))
        << proxy.requests().front();
    EXPECT_GT(shell.client->wire_bytes().sent, 300'000U);
    proxy.stop();
  }
}

TEST_F(ProxyWay, WhatAProxyRefusesIsToldWithWhatToDo) {
  shell_.listen();
  ConnectProxy proxy(shell_.io);
  proxy.want_authorization("Basic eA==");
  LinkTarget target = shell_.target();
  target.proxy = Proxy{"127.0.0.1", proxy.port(), ""};
  expect(shell_.failure(target), {"the proxy 127.0.0.1:", "407", "proxy_credentials_file"});
  target.proxy->credentials_file = credentials("pump-3:wrong");
  expect(shell_.failure(target), {"407", "does not take the user and password"});
  proxy.want_authorization("");
  proxy.lead_to(1);
  expect(shell_.failure(target), {"502", "cannot reach localhost:"});
  proxy.stop();
  expect(answered("HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\n\r\n"),
         {"another authentication than Basic (Negotiate)"});
  expect(answered("HTTP/1.1 403 Forbidden\r\n\r\n"),
         {"403 Forbidden", "does not let us connect to consumer.example:7443", "allow CONNECT"});
  expect(answered("HTTP/1.1 500 Oops\r\n\r\n"), {"500 Oops", "is this a proxy?"});
}

TEST_F(ProxyWay, WhatIsNoProxyIsTold) {
  const std::string page = "<html>Please log in</html>";
  expect(answered("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: " +
                  std::to_string(page.size()) + "\r\n\r\n" + page),
         {"a page of its own", "login"});
  expect(answered("HTTP/1.1 302 Found\r\nLocation: http://portal.example/login?x=1\r\n\r\n"),
         {"sends us to http://portal.example,", "login"});
  expect(answered("SSH-2.0-OpenSSH_9.2\r\n"), {"does not answer in HTTP"});
  expect(answered(std::string(100'000, 'x')), {"does not answer in HTTP"});
  expect(answered("HTTP/1.1 200 OK\r\nX-Long: " + std::string(100'000, 'x')), {"without end"});
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5000; ++i) many += "X-" + std::to_string(i) + ": x\r\n";
  expect(answered(many), {"without end"});
  expect(answered(""), {"the proxy 127.0.0.1", "CONNECT"});
}

TEST_F(ProxyWay, AProxyThatIsDownOrUnknownIsTold) {
  LinkTarget target = shell_.target();
  target.endpoint = {false, "consumer.example", 7443, "/"};
  target.proxy = Proxy{"127.0.0.1", 1, ""};
  expect(shell_.failure(target), {"connecting to the proxy 127.0.0.1:1", "refused"});
  target.proxy = Proxy{"proxy.invalid", 3128, ""};
  expect(shell_.failure(target), {"looking up proxy.invalid"});
}

TEST_F(ProxyWay, CredentialsThatCannotBeUsedAreTold) {
  EXPECT_EQ(*read_credentials(credentials("user:pass word\r\nrest\n")), "user:pass word");
  expect(read_credentials(credentials("user:password", 0644)).error().message,
         {"everybody may read it", "chmod"});
  expect(read_credentials(credentials("nobody")).error().message, {"user:password"});
  expect(read_credentials(credentials("")).error().message, {"empty"});
  expect(read_credentials(directory_.path() + "/none").error().message, {"none", "No such file"});
}

TEST_F(ProxyWay, AddressesOfProxiesAreRead) {
  const auto proxy = parse_proxy("http://[2001:db8::1]:8080/", "/file");
  ASSERT_TRUE(proxy) << proxy.error().message;
  EXPECT_EQ(proxy->host, "2001:db8::1");
  EXPECT_EQ(proxy->port, 8080);
  EXPECT_EQ(proxy->credentials_file, "/file");
  EXPECT_EQ(parse_proxy("http://proxy.example", "")->port, 3128);
  for (const char* bad :
       {"proxy:3128", "https://proxy:1", "http://", "http://h:0", "http://h:70000", "http://h:1x",
        "http://h/path", "http://user:word@h:1", "http://[::1"}) {
    EXPECT_FALSE(parse_proxy(bad, "")) << bad;
  }
  EXPECT_EQ(connect_request({true, "2001:db8::2", 443, "/"}, ""),
            "CONNECT [2001:db8::2]:443 HTTP/1.1\r\nHost: [2001:db8::2]:443\r\n\r\n");
}

TEST_F(ProxyWay, APortalInPlaceOfTheConsumerIsTold) {
  expect(upgraded("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<a/>"),
         {"200 OK", "with a web page", "captive portal"});
  expect(upgraded("HTTP/1.1 302 Found\r\nLocation: https://login.example/x\r\n"
                  "Content-Length: 0\r\n\r\n"),
         {"302", "sends us to https://login.example,"});
  expect(upgraded("HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n"), {"cannot reach it now"});
  expect(upgraded("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), {"404", "path of the url"});
  expect(upgraded("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x')), {"without end"});
  expect(upgraded(std::string("\x15\x03\x01\x00\x02\x02\x46", 7)),
         {"does not answer in HTTP", "write wss://"});
}

TEST_F(ProxyWay, WhatCannotBeReachedIsToldByItsName) {
  LinkTarget target = shell_.target();
  target.endpoint = {false, "consumer.invalid", 7443, "/"};
  expect(shell_.failure(target), {"looking up consumer.invalid"});
  target.endpoint = {false, "127.0.0.1", 1, "/"};
  expect(shell_.failure(target), {"connecting to 127.0.0.1:1", "nothing listens there"});
  target.interface = "wan-none";
  expect(shell_.failure(target), {"there is no network interface wan-none"});
}

TEST_F(ProxyWay, ALinkLeavesByTheInterfaceAskedFor) {
  shell_.listen();
  LinkTarget target = shell_.target();
  target.interface = "lo";
  EXPECT_TRUE(opens(target)) << shell_.client_end->message;
  EXPECT_TRUE(shell_.echo("by lo"));
}

}  // namespace
}  // namespace spillway::uplink::test
