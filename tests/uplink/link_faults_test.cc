// Bad networks, bad peers and wrong set-ups, with the daemons as processes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "uplink/daemons.h"
#include "uplink/relay.h"

namespace spillway::uplink::test {
namespace {

bool says(const Process& process, const std::string& text) {
  return process.log().find(text) != std::string::npos;
}

TEST(LinkFaults, AConnectionCutAgainAndAgainDeliversEverythingOnce) {
  Site site("relay");
  const std::uint16_t port = free_port();
  Relay relay(port);
  // As they are: in short, all of them would be through before the first cut.
  site.configure("ws", port, relay.port(), "compress = \"never\"\n");
  site.open_stream();
  relay.cut_after(150'000);
  const auto consumer = site.start_consumer();
  const auto uplink = site.start_uplink();
  std::uint64_t written = 0;
  // Each session gets a little further: messages of the backlog are larger than what a connection
  // lives for at first.
  for (const std::uint64_t limit : {150'000U, 301'007U, 500'501U, 777'777U, 400'003U}) {
    relay.cut_after(limit);
    const std::uint64_t cuts = relay.cuts();
    site.append(12'000, 37);
    written += 12'000;
    ASSERT_TRUE(wait_for([&] {
      return relay.cuts() > cuts + 2 || site.count().value_or(0) >= written;
    })) << uplink->log();
  }
  EXPECT_GT(relay.cuts(), 3U);
  relay.cut_after(0);
  ASSERT_TRUE(site.wait_for_count(written)) << uplink->log() << consumer->log();
  site.expect_complete(written);
}

TEST(LinkFaults, TheUplinkWaitsForTheAgentsFirstRun) {
  Site site("first-run");
  const std::uint16_t port = free_port();
  site.configure("ws", port, port);
  const auto consumer = site.start_consumer();
  const auto uplink = site.start_uplink();
  ASSERT_TRUE(wait_for([&] { return says(*uplink, "waiting for the agent"); })) << uplink->log();
  site.open_stream();
  site.append(100);
  ASSERT_TRUE(site.wait_for_count(100)) << uplink->log();
  site.expect_complete(100);
}

TEST(LinkFaults, ASecondUplinkOfTheSameNameIsRefused) {
  Site site("second");
  const std::uint16_t port = free_port();
  site.configure("ws", port, port);
  site.open_stream();
  site.append(10);
  const auto consumer = site.start_consumer();
  const auto first = site.start_uplink();
  ASSERT_TRUE(site.wait_for_count(10)) << first->log();
  const auto second = site.start_uplink();
  EXPECT_EQ(second->wait(), 3) << second->log();
}

TEST(LinkFaults, APortInUseIsOneClearLineAndExitCode3) {
  Site site("port");
  const std::uint16_t port = free_port();
  site.configure("ws", port, port);
  const auto first = site.start_consumer();
  ASSERT_TRUE(wait_for([&] { return says(*first, "listening"); })) << first->log();
  const auto second = site.start_consumer();
  EXPECT_EQ(second->wait(), 3);
  EXPECT_TRUE(says(*second, "port is in use")) << second->log();
  std::istringstream log(second->log());
  int complaints = 0;
  for (std::string line; std::getline(log, line);)
    complaints += line.find("] info: ") == std::string::npos;
  EXPECT_EQ(complaints, 1) << second->log();
}

TEST(LinkFaults, AnInboxOfANewerVersionIsRefusedUntouched) {
  Site site("newer");
  const std::uint16_t port = free_port();
  site.configure("ws", port, port);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(site.inbox().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 99; CREATE TABLE later(x)", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  const auto read = [&] {
    std::ifstream file(site.inbox(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string before = read();
  const auto consumer = site.start_consumer();
  EXPECT_EQ(consumer->wait(), 3);
  EXPECT_TRUE(says(*consumer, "update the consumer")) << consumer->log();
  EXPECT_EQ(read(), before);
}

TEST(LinkFaults, AConsumerWithoutATrustedCertificateGetsNothing) {
  Site site("untrusted");
  site.make_certificates();
  const std::uint16_t port = free_port();
  site.configure("wss", port, port);
  site.open_stream();
  site.append(10);
  Site stranger("stranger");
  stranger.make_certificates();
  std::filesystem::copy_file(stranger.directory() + "/ca.pem", site.directory() + "/ca.pem",
                             std::filesystem::copy_options::overwrite_existing);
  const auto consumer = site.start_consumer();
  const auto uplink = site.start_uplink();
  ASSERT_TRUE(wait_for([&] { return says(*uplink, "certificate verify failed"); }))
      << uplink->log();
  EXPECT_EQ(site.count().value_or(0), 0U);
}

TEST(LinkFaults, AMissingCertificateFileIsOneClearLine) {
  Site site("no-certificate");
  const std::uint16_t port = free_port();
  site.configure("wss", port, port);
  const auto consumer = site.start_consumer();
  EXPECT_EQ(consumer->wait(), 2);
  EXPECT_TRUE(says(*consumer, "server.pem")) << consumer->log();
  const auto uplink = site.start_uplink();
  EXPECT_EQ(uplink->wait(), 2);
  EXPECT_TRUE(says(*uplink, "ca.pem")) << uplink->log();
}

TEST(LinkFaults, AConsumerThatSendsRubbishIsToldOfAndTriedAgain) {
  Site site("rubbish");
  site.open_stream();
  site.append(10);
  for (const std::string& answer :
       {std::string("\x00\xff rubbish \r\n\r\n", 16),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), std::string(100'000, 'x')}) {
    const RubbishServer server(answer);
    site.configure("ws", free_port(), server.port());
    const auto uplink = site.start_uplink();
    ASSERT_TRUE(wait_for([&] { return server.answered() >= 3; })) << uplink->log();
    EXPECT_TRUE(says(*uplink, "not connected to")) << uplink->log();
    uplink->signal(SIGTERM);
    EXPECT_EQ(uplink->wait(), 0) << uplink->log();
  }
}

TEST(LinkFaults, RubbishToTheConsumerHarmsNoOtherSession) {
  Site site("rubbish-in");
  const std::uint16_t port = free_port();
  site.configure("ws", port, port);
  site.open_stream();
  site.append(1000);
  const auto consumer = site.start_consumer();
  const auto uplink = site.start_uplink();
  ASSERT_TRUE(site.wait_for_count(1000)) << uplink->log();
  static_cast<void>(send_rubbish(port, std::string(50'000, '\x81')));
  static_cast<void>(send_rubbish(port, "\r\n\r\n"));
  const std::string told = send_rubbish(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(told.find("spillway.v1"), std::string::npos) << told;
  site.append(1000);
  ASSERT_TRUE(site.wait_for_count(2000)) << uplink->log() << consumer->log();
  site.expect_complete(2000);
  EXPECT_TRUE(says(*consumer, "dropped")) << consumer->log();
}

}  // namespace
}  // namespace spillway::uplink::test
