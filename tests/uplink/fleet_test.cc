// A consumer process with many gateways: the real sessions, real sockets.
#include "uplink/fleet.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include "uplink/daemons.h"

namespace spillway::uplink::test {
namespace {

class FleetTest : public ::testing::Test {
 protected:
  FleetTest() : site_("fleet"), port_(free_port()) {
    site_.configure("ws", port_, port_);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  std::uint64_t ask(const std::string& sql) const {
    sqlite3* database = nullptr;
    sqlite3_stmt* select = nullptr;
    std::uint64_t answer = 0;
    if (sqlite3_open_v2(site_.inbox().c_str(), &database, SQLITE_OPEN_READONLY, nullptr) ==
        SQLITE_OK) {
      sqlite3_busy_timeout(database, 10'000);
      sqlite3_prepare_v2(database, sql.c_str(), -1, &select, nullptr);
      if (sqlite3_step(select) == SQLITE_ROW) {
        answer = static_cast<std::uint64_t>(sqlite3_column_int64(select, 0));
      }
      sqlite3_finalize(select);
    }
    sqlite3_close(database);
    return answer;
  }
  std::string command(const std::string& arguments, int wanted = 0) const {
    int exit_code = -1;
    std::string answer = site_.ask_consumer(arguments, exit_code);
    EXPECT_EQ(exit_code, wanted) << arguments << ": " << answer;
    return answer;
  }

  Site site_;
  std::uint16_t port_;
};

TEST_F(FleetTest, AThousandGatewaysAreTakenAtOnceAndAgainAfterAnOutage) {
  constexpr std::size_t kGateways = 1000;
  auto consumer = site_.start_consumer();
  Fleet fleet(port_, kGateways);
  fleet.connect(kGateways);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.streaming() == kGateways; }))
      << fleet.streaming() << consumer->log();
  for (std::size_t i = 0; i < kGateways; ++i) fleet.append(i, 5);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.delivered(); })) << consumer->log();
  consumer->kill_and_wait();
  for (std::size_t i = 0; i < kGateways; ++i) fleet.append(i, 5);
  consumer = site_.start_consumer();
  ASSERT_TRUE(fleet.run_until([&] { return fleet.streaming() == kGateways && fleet.delivered(); }))
      << fleet.streaming() << consumer->log();
  EXPECT_EQ(ask("SELECT count(*) FROM record"), kGateways * 10);
  EXPECT_EQ(ask("SELECT sum(next_offset) FROM position"), kGateways * 10);
  ASSERT_TRUE(wait_for(
      [&] { return ask("SELECT count(*) FROM gateway WHERE connected = 1") == kGateways; }));
}

TEST_F(FleetTest, OneGatewaysLiveDataDoesNotWaitBehindTheBacklogsOfOthers) {
  constexpr std::size_t kBulk = 8;
  const auto consumer = site_.start_consumer();
  Fleet fleet(port_, kBulk + 1);
  for (std::size_t i = 0; i < kBulk; ++i) {
    for (int block = 0; block < 60; ++block) fleet.append(i, 1000);
  }
  fleet.connect(kBulk + 1);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.streaming() == kBulk + 1; }));
  const auto backlog = [&] {
    std::uint64_t left = 0;
    for (std::size_t i = 0; i < kBulk; ++i) left += fleet.next_offset(i) - fleet.acknowledged(i);
    return left;
  };
  // One at a time, each acknowledged before the next: all while the others are at it.
  for (int record = 1; record <= 3; ++record) {
    fleet.append(kBulk, 1);
    ASSERT_TRUE(fleet.run_until([&] {
      return fleet.acknowledged(kBulk) == static_cast<std::uint64_t>(record);
    })) << consumer->log();
  }
  EXPECT_GT(backlog(), 0U);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.delivered(); })) << consumer->log();
  EXPECT_EQ(ask("SELECT count(*) FROM record"), kBulk * 60'000 + 3);
}

TEST_F(FleetTest, ARevokedGatewaysSessionEndsAtOnceAndAnAllowedOneComesBack) {
  const auto consumer = site_.start_consumer();
  Fleet fleet(port_, 2);
  fleet.connect(2);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.streaming() == 2; })) << consumer->log();
  const std::string id = uuid_number(1).text();
  command("gateway revoke " + id);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.streaming() == 1; })) << consumer->log();
  ASSERT_TRUE(fleet.run_until(
      [&] { return fleet.last_error(0).find("was revoked here") != std::string::npos; }));
  EXPECT_NE(consumer->log().find("was revoked here"), std::string::npos);
  EXPECT_NE(command("gateway list --state revoked").find(id), std::string::npos);
  command("gateway rename " + id + " 'the north pump'");
  command("gateway allow 'the north pump'");
  ASSERT_TRUE(fleet.run_until([&] { return fleet.streaming() == 2; })) << consumer->log();
  command("gateway allow nobody", 1);
  command("gateway rename " + id, 2);
}

TEST_F(FleetTest, WhereOnlyKnownOnesGetInAStrangerIsListedAndWaits) {
  site_.add_consumer_keys("gateways = \"known\"\n");
  const auto consumer = site_.start_consumer();
  Fleet fleet(port_, 1);
  fleet.append(0, 3);
  fleet.connect(1);
  ASSERT_TRUE(fleet.run_until([&] {
    return fleet.last_error(0).find("is not known here") != std::string::npos;
  })) << consumer->log();
  const std::string id = uuid_number(1).text();
  ASSERT_TRUE(wait_for(
      [&] { return command("gateway list --state new --json").find(id) != std::string::npos; }));
  EXPECT_EQ(ask("SELECT count(*) FROM record"), 0U);
  command("gateway allow " + id);
  ASSERT_TRUE(fleet.run_until([&] { return fleet.delivered(); })) << consumer->log();
  EXPECT_EQ(ask("SELECT count(*) FROM record"), 3U);
}

TEST_F(FleetTest, TwoThatClaimOneIdentityTakeTurnsSlowlyAndAreCounted) {
  const auto consumer = site_.start_consumer();
  Fleet original(port_, 1);
  original.connect(1);
  ASSERT_TRUE(original.run_until([&] { return original.streaming() == 1; }));
  Fleet clone(port_, 1);
  clone.connect(1);
  ASSERT_TRUE(clone.run_until([&] { return clone.streaming() == 1; })) << consumer->log();
  ASSERT_TRUE(original.run_until([&] { return original.fenced() == 1; })) << consumer->log();
  EXPECT_EQ(original.asked_to_wait(), 1U);
  EXPECT_NE(original.last_error(0).find("is a clone"), std::string::npos) << original.last_error(0);
  EXPECT_NE(consumer->log().find("two claim to be this gateway"), std::string::npos);
  ASSERT_TRUE(wait_for([&] { return ask("SELECT conflicts FROM gateway") == 1; }));
  // No tight loop: the one that was fenced stays away.
  original.run_for(std::chrono::milliseconds(1000), [] {});
  EXPECT_EQ(original.connections() + clone.connections(), 2U);
  EXPECT_NE(command("gateway list").find("CONFLICTS: 1"), std::string::npos);
}

TEST_F(FleetTest, ARecordThatIsTooLargeIsDeadAndTheRestGoesOn) {
  site_.add_consumer_keys("max_record_bytes = \"1KiB\"\n");
  site_.open_stream();
  site_.append(10);
  site_.append(1, 1, 2000);
  site_.append(10);
  const auto consumer = site_.start_consumer();
  const auto uplink = site_.start_uplink();
  ASSERT_TRUE(site_.wait_for_count(21)) << consumer->log();
  EXPECT_EQ(ask("SELECT count(*) FROM record WHERE state = 'received'"), 20U);
  const std::string list = command("dead list --json");
  EXPECT_NE(list.find("\"offset\":10"), std::string::npos) << list;
  EXPECT_NE(list.find("\"record_bytes\":2000,\"kept_bytes\":1024"), std::string::npos) << list;
  command("dead requeue --all", 1);  // it was cut
  command("dead drop --all --topic sensor/#");
  EXPECT_NE(command("dead list").find("no dead record"), std::string::npos);
  EXPECT_EQ(ask("SELECT sum(next_offset) FROM position"), 21U);
  command("dead drop", 2);
}

TEST(GatewayCertificate, BindsTheGatewayThatItNames) {
  Site site("certificate");
  site.make_certificates();
  const std::uint16_t port = free_port();
  site.configure("wss", port, port);
  site.open_stream();
  site.append(5);
  site.bind_certificate(uuid_number(1));
  const auto consumer = site.start_consumer();
  {
    const auto uplink = site.start_uplink();
    ASSERT_TRUE(wait_for([&] {
      return uplink->log().find("shows the certificate of gateway " + uuid_number(1).text()) !=
             std::string::npos;
    })) << uplink->log()
        << consumer->log();
    EXPECT_NE(consumer->log().find("shows the certificate"), std::string::npos);
    EXPECT_EQ(site.count(), 0U);
  }
  site.bind_certificate(site.gateway());
  const auto uplink = site.start_uplink();
  ASSERT_TRUE(site.wait_for_count(5)) << uplink->log() << consumer->log();
  int exit_code = -1;
  ASSERT_TRUE(wait_for([&] {
    return site.ask_consumer("gateway list", exit_code).find("CN = pump-3, SHA-256 ") !=
           std::string::npos;
  }));
}

}  // namespace
}  // namespace spillway::uplink::test
