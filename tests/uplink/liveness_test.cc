// Liveness by itself: a small model of a link drives it, second by second.
#include "uplink/link/liveness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace spillway::uplink::test {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kPingAfter = 4 * kSecond;
constexpr std::uint64_t kPingBytes = 30;

/// What a link does to bytes: a rate, a delay, and whether it still carries any.
struct Link {
  std::uint64_t bytes_per_s = 100'000'000;
  std::uint64_t rtt_ns = kMs;
  bool carries = true;
  bool far_end_reads = true;
  bool acks_are_a_relays = false;  // that has taken up everything, and passes it on
};

class World {
 public:
  explicit World(Link link, std::uint64_t ping_after_ns = kPingAfter)
      : link_(link), liveness_(ping_after_ns, now_, opening(link)) {}

  /// One look; false: dead.
  bool step(bool paused = false) {
    now_ += Liveness::kLookNs;
    carry();
    switch (liveness_.look(now_, tcp_, paused)) {
      case Liveness::Action::kPing:
        ++pings_;
        queue(kPingBytes);
        ping_end_ = written_;
        liveness_.on_ping_sent(now_, tcp_);
        break;
      case Liveness::Action::kHeartbeat:
        ++heartbeats_;
        queue(kPingBytes);
        break;
      case Liveness::Action::kNone:
        break;
      case Liveness::Action::kDead:
        return false;
    }
    return true;
  }
  bool run(std::uint64_t seconds) {
    for (std::uint64_t i = 0; i < seconds; ++i) {
      if (!step()) return false;
    }
    return true;
  }
  /// Seconds until it is found dead; 0 if it is not within an hour.
  std::uint64_t seconds_to_death() {
    for (std::uint64_t i = 1; i <= 3600; ++i) {
      if (!step()) return i;
    }
    return 0;
  }
  void queue(std::uint64_t bytes) {
    written_ += bytes;
    settle();
  }
  void hear(std::uint64_t bytes) { tcp_.received_bytes += bytes; }
  void skip(std::uint64_t ns) { now_ += ns; }

  Link link_;
  std::uint64_t now_ = 100 * kSecond;
  TcpState tcp_;
  Liveness liveness_;
  std::uint64_t pings_ = 0;
  std::uint64_t heartbeats_ = 0;

 private:
  static TcpState opening(const Link& link) {
    TcpState tcp;
    tcp.rtt_ns = link.rtt_ns;
    tcp.rtt_variance_ns = link.rtt_ns / 2;
    return tcp;
  }
  void settle() { tcp_.unacked_bytes = written_ - tcp_.acked_bytes; }
  void carry() {
    tcp_.answer_age_ns += Liveness::kLookNs;
    const std::uint64_t before = tcp_.acked_bytes;
    if (link_.acks_are_a_relays) {
      tcp_.acked_bytes = written_;
    } else if (link_.carries) {
      tcp_.acked_bytes = std::min(written_, tcp_.acked_bytes + link_.bytes_per_s);
    }
    if (tcp_.acked_bytes != before) tcp_.answer_age_ns = 0;
    settle();
    if (ping_end_ != 0 && tcp_.acked_bytes >= ping_end_ && link_.carries && link_.far_end_reads) {
      ping_end_ = 0;
      hear(kPingBytes);
      liveness_.on_pong(now_);
    }
  }
  std::uint64_t written_ = 0;
  std::uint64_t ping_end_ = 0;
};

TEST(Liveness, AnIdleLinkOfALanThatIsCutIsDeadWithinTenSeconds) {
  World world(Link{});
  ASSERT_TRUE(world.run(100));
  world.link_.carries = false;
  EXPECT_LE(world.seconds_to_death(), 11U);
  EXPECT_EQ(world.liveness_.state(), Liveness::State::kDead);
  EXPECT_EQ(world.liveness_.look(world.now_, world.tcp_, false), Liveness::Action::kDead);
}

TEST(Liveness, ALinkThatIsCutWithDataUnderWayIsDeadWithinSevenSeconds) {
  World world(Link{});
  ASSERT_TRUE(world.run(20));
  world.link_.carries = false;
  world.queue(100'000);
  const std::uint64_t seconds = world.seconds_to_death();
  EXPECT_GT(seconds, 4U);
  EXPECT_LE(seconds, 7U);
}

TEST(Liveness, AnIdleLinkIsAskedOnceInAWhileAndLives) {
  World world(Link{});
  ASSERT_TRUE(world.run(4000));
  // The answer is heard one look later, and the silence counts from there.
  EXPECT_NEAR(static_cast<double>(world.pings_), 4000.0 / 5, 50);
  World metered(Link{}, 60 * kSecond);
  ASSERT_TRUE(metered.run(4000));
  EXPECT_LE(metered.pings_, 4000U / 60 + 1);
}

TEST(Liveness, ASatelliteIsNotCut) {
  Link satellite;
  satellite.rtt_ns = 600 * kMs;
  World world(satellite);
  std::uint64_t jitter = 0;
  for (int i = 0; i < 4000; ++i) {
    world.tcp_.rtt_ns = 400 * kMs + jitter * kMs;
    world.tcp_.rtt_variance_ns = 200 * kMs;
    jitter = (jitter + 137) % 401;
    ASSERT_TRUE(world.step());
  }
}

TEST(Liveness, APongBehindOurOwnDataOnASlowLinkIsWaitedFor) {
  for (const std::uint64_t bytes_per_s : {125'000U, 8'000U, 100U, 1U}) {
    Link slow;
    slow.bytes_per_s = bytes_per_s;
    World world(slow);
    world.queue(256U * 1024);
    ASSERT_TRUE(world.run(3000)) << bytes_per_s;
  }
}

TEST(Liveness, ASlowLinkThatIsCutIsFoundOut) {
  Link slow;
  slow.bytes_per_s = 100;
  World world(slow);
  world.queue(256U * 1024);
  ASSERT_TRUE(world.run(600));
  world.link_.carries = false;
  const std::uint64_t seconds = world.seconds_to_death();
  EXPECT_GT(seconds, 0U);
  EXPECT_LE(seconds, 40U);
}

TEST(Liveness, AcknowledgementsOfARelayAloneDoNotKeepALinkAlive) {
  World world(Link{});
  ASSERT_TRUE(world.run(20));
  world.link_.far_end_reads = false;
  world.link_.acks_are_a_relays = true;
  const std::uint64_t seconds = world.seconds_to_death();
  EXPECT_GT(seconds, 0U);
  EXPECT_LE(seconds, 11U);
  // With data that the relay may still be passing on, it is given longer, and not for ever.
  World busy(Link{});
  ASSERT_TRUE(busy.run(20));
  busy.link_.far_end_reads = false;
  busy.link_.acks_are_a_relays = true;
  busy.queue(100'000);
  const std::uint64_t busy_seconds = busy.seconds_to_death();
  EXPECT_GT(busy_seconds, 20U);
  EXPECT_LE(busy_seconds, 40U);
}

TEST(Liveness, HeartbeatsTellARelaysOtherSideThatItsDataArrives) {
  // The receiving end of a slow relay: a byte now and then, and nothing to say.
  World receiver(Link{});
  for (int i = 0; i < 100; ++i) {
    receiver.hear(1);
    ASSERT_TRUE(receiver.step());
  }
  EXPECT_GE(receiver.heartbeats_ + receiver.pings_, 6U);
  // The sending end, whose ping is stuck in the relay, hears them and lives.
  World sender(Link{});
  ASSERT_TRUE(sender.run(20));
  sender.link_.far_end_reads = false;
  sender.link_.acks_are_a_relays = true;
  sender.queue(100'000);
  for (int i = 0; i < 1000; ++i) {
    if (i % 10 == 9) sender.hear(1);
    ASSERT_TRUE(sender.step()) << i;
  }
}

TEST(Liveness, AFarEndWhoseKernelAnswersButTakesNothingIsNotCutSoonAndNotKeptForEver) {
  World world(Link{});
  ASSERT_TRUE(world.run(10));
  world.link_.bytes_per_s = 0;  // its window is closed; the kernel's questions are answered
  world.link_.far_end_reads = false;
  world.queue(100'000);
  world.tcp_.is_window_closed = true;
  for (int i = 0; i < 1800; ++i) {
    world.tcp_.answer_age_ns = static_cast<std::uint64_t>(i % 120) * kSecond;
    ASSERT_TRUE(world.step()) << i;
  }
  std::uint64_t more = 0;
  while (world.step() && more < 10'000) ++more;
  EXPECT_LT(more, 2000U);
}

TEST(Liveness, AClosedWindowWhoseQuestionsStayWithoutAnswerIsDead) {
  World world(Link{});
  ASSERT_TRUE(world.run(10));
  world.link_.carries = false;
  world.queue(100'000);
  world.tcp_.is_window_closed = true;
  ASSERT_TRUE(world.run(20));
  world.tcp_.unanswered_probes = Liveness::kProbesMax;
  EXPECT_FALSE(world.step());
}

TEST(Liveness, TimeInWhichNobodyLookedDoesNotCount) {
  World world(Link{});
  ASSERT_TRUE(world.run(20));
  world.queue(1000);
  world.skip(600 * kSecond);  // stopped, or a machine that stood still
  world.tcp_.answer_age_ns = 600 * kSecond;
  EXPECT_TRUE(world.run(100));
}

TEST(Liveness, WhoDoesNotReadDoesNotMissAPong) {
  World world(Link{});
  ASSERT_TRUE(world.run(20));
  world.link_.far_end_reads = false;
  for (int i = 0; i < 600; ++i) ASSERT_TRUE(world.step(true));
  const std::uint64_t pings = world.pings_;
  EXPECT_LE(pings, 6U);
  world.link_.far_end_reads = true;
  EXPECT_TRUE(world.run(100));
}

TEST(Liveness, TheTimeoutFollowsTheRoundTripWithinItsBounds) {
  const TcpState none;
  Liveness near(kPingAfter, kSecond, none);
  EXPECT_EQ(near.timeout_ns(), Liveness::kTimeoutNsMin);
  std::uint64_t now = kSecond;
  TcpState tcp;
  std::uint64_t longest = 0;
  for (int i = 0; i < 200; ++i) {
    const bool lossy = i % 3 == 0;
    while (near.look(now += kSecond, tcp, false) != Liveness::Action::kPing) {
    }
    near.on_ping_sent(now, tcp);
    near.on_pong(now += lossy ? 7 * kSecond : kSecond);
    longest = std::max(longest, near.timeout_ns());
    ++tcp.received_bytes;
  }
  EXPECT_GT(near.timeout_ns(), 10 * kSecond);
  EXPECT_LE(longest, Liveness::kTimeoutNsMax);
}

}  // namespace
}  // namespace spillway::uplink::test
