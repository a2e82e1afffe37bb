// The two daemons as processes, over loopback: what a stream holds stands in the inbox's file.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>

#include "uplink/daemons.h"

namespace spillway::uplink::test {
namespace {

class Link : public ::testing::TestWithParam<const char*> {
 protected:
  Link() : site_(std::string("link-") + GetParam()), port_(free_port()) {
    if (std::string(GetParam()) == "wss") site_.make_certificates();
    site_.configure(GetParam(), port_, port_);
    site_.open_stream();
  }
  Site site_;
  std::uint16_t port_;
};

TEST_P(Link, DeliversABacklogAndThenWhatComesLive) {
  site_.append(20'000);
  const auto consumer = site_.start_consumer();
  const auto uplink = site_.start_uplink();
  ASSERT_TRUE(site_.wait_for_count(20'000)) << uplink->log() << consumer->log();
  site_.append(500, 7);
  ASSERT_TRUE(site_.wait_for_count(20'500)) << uplink->log() << consumer->log();
  site_.expect_complete(20'500);
  uplink->signal(SIGTERM);
  EXPECT_EQ(uplink->wait(), 0) << uplink->log();
  consumer->signal(SIGTERM);
  EXPECT_EQ(consumer->wait(), 0) << consumer->log();
}

TEST_P(Link, AKilledConsumerLosesAndDoublesNothing) {
  auto consumer = site_.start_consumer();
  const auto uplink = site_.start_uplink();
  std::uint64_t written = 0;
  for (int round = 0; round < 6; ++round) {
    site_.append(10'000);
    written += 10'000;
    ASSERT_TRUE(
        site_.wait_for_count(written - 10'000 + static_cast<std::uint64_t>(round) * 1500 + 1))
        << uplink->log();
    consumer->kill_and_wait();
    site_.append(100);
    written += 100;
    consumer = site_.start_consumer();
  }
  ASSERT_TRUE(site_.wait_for_count(written)) << uplink->log() << consumer->log();
  site_.expect_complete(written);
}

TEST_P(Link, AKilledUplinkLosesAndDoublesNothing) {
  const auto consumer = site_.start_consumer();
  std::uint64_t written = 0;
  for (int round = 0; round < 6; ++round) {
    const auto uplink = site_.start_uplink();
    site_.append(10'000);
    written += 10'000;
    ASSERT_TRUE(site_.wait_for_count(written - 9'000)) << uplink->log();
  }
  const auto uplink = site_.start_uplink();
  ASSERT_TRUE(site_.wait_for_count(written)) << uplink->log() << consumer->log();
  site_.expect_complete(written);
}

INSTANTIATE_TEST_SUITE_P(Schemes, Link, ::testing::Values("ws", "wss"),
                         [](const auto& scheme) { return std::string(scheme.param); });

/// Not a gate: prints how fast records go from a spill on disk into a synced inbox.
TEST(LinkThroughput, OfSmallRecords) {
  for (const std::size_t bytes : {64U, 256U}) {
    Site site("throughput-" + std::to_string(bytes));
    const std::uint16_t port = free_port();
    site.configure("ws", port, port);
    site.open_stream();
    constexpr std::uint64_t kRecords = 300'000;
    site.append(kRecords, 256, bytes);
    const auto consumer = site.start_consumer();
    ASSERT_TRUE(wait_for([&] { return consumer->log().find("listening") != std::string::npos; }))
        << consumer->log();
    const auto begin = std::chrono::steady_clock::now();
    const auto uplink = site.start_uplink();
    ASSERT_TRUE(site.wait_for_count(kRecords)) << uplink->log() << consumer->log();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("%zu-byte records: %.0f records/s\n", bytes,
                static_cast<double>(kRecords) / seconds.count());
  }
}

}  // namespace
}  // namespace spillway::uplink::test
