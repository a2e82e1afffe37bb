// What a session sends when, over a modelled link: the window, the scheduler and the pumps together.
#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "uplink/policy/modelled_link.h"
#include "uplink/session/uplink_session.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

/// A session with two streams, and a far end that acknowledges what the link has carried.
class Line {
 public:
  explicit Line(LinkFacts facts)
      : facts_(facts), link_(facts, 1), backlog_("backlog"), alarms_("alarms", 2) {
    UplinkSessionOptions options;
    options.gateway = uuid_number(7);
    options.uplink = "cloud";
    options.shares = {{9, 1}, {0, 1}};  // the backlog has the higher priority
    session_.emplace(options, sources_);
    EXPECT_TRUE(session_->on_open(now_ns_));
    now_ns_ += 2 * facts_.one_way_ns;
  }
  void welcome() {
    // A stream that was empty when it was described has no journal to answer for.
    Welcome welcome;
    welcome.window_bytes = 4U << 20;
    for (std::uint16_t i = 0; i < 2; ++i) {
      welcome.streams.push_back({i, {{spills_[i]->newest_journal(), 0}}});
    }
    ASSERT_TRUE(session_->on_message(encode(welcome), now_ns_));
  }

  void run_for(std::uint64_t time_ns) {
    const std::uint64_t end_ns = now_ns_ + time_ns;
    while (now_ns_ < end_ns) {
      send();
      now_ns_ = std::min(end_ns, now_ns_ + kMs);
      while (!on_way_.empty() && on_way_.front().acknowledged_ns <= now_ns_) {
        const OnWay& way = on_way_.front();
        bytes_ += way.bytes;
        ASSERT_TRUE(session_->on_message(
            encode(Ack{way.stream, spills_[way.stream]->newest_journal(), way.next_offset}),
            now_ns_));
        on_way_.pop_front();
      }
    }
  }
  /// A record now; how long until it stands at the far end, less the link's own way.
  std::uint64_t alarm_waits_ns() {
    alarms_.append(1);
    const std::uint64_t put_ns = now_ns_;
    const std::uint64_t wanted = alarms_.next_offset();
    while (arrived_[1] < wanted && now_ns_ < put_ns + 60 * kSecond) run_for(kMs);
    return arrived_ns_ - put_ns - facts_.one_way_ns;
  }

  LinkFacts facts_;
  ModelledLink link_;
  FakeSpill backlog_;
  FakeSpill alarms_;
  FakeSpill* spills_[2] = {&backlog_, &alarms_};
  BlockSource* sources_[2] = {&backlog_, &alarms_};
  std::optional<UplinkSession> session_;
  std::uint64_t now_ns_ = kSecond;
  std::uint64_t bytes_ = 0;
  std::size_t largest_ = 0;

 private:
  struct OnWay {
    std::uint16_t stream;
    std::uint64_t next_offset;
    std::uint64_t bytes;
    std::uint64_t acknowledged_ns;
  };

  void send() {
    for (;;) {
      const std::uint64_t before[2] = {session_->streams()[0].sent_offset(),
                                       session_->streams()[1].sent_offset()};
      auto message = session_->pull(now_ns_);
      ASSERT_TRUE(message) << message.error().message;
      if (!*message) return;
      largest_ = std::max(largest_, (*message)->size());
      const auto way = link_.carry((*message)->size(), now_ns_);
      for (std::uint16_t i = 0; i < 2; ++i) {
        const std::uint64_t sent = session_->streams()[i].sent_offset();
        if (sent == before[i]) continue;
        on_way_.push_back({i, sent, (*message)->size(), way.acknowledged_ns});
        arrived_[i] = sent;
        arrived_ns_ = way.arrives_ns;
      }
    }
  }

  std::deque<OnWay> on_way_;
  std::uint64_t arrived_[2] = {0, 0};
  std::uint64_t arrived_ns_ = 0;
};

constexpr LinkFacts kSatellite{125'000, 300 * kMs, 0, 5 * kMs};
constexpr LinkFacts kModem{2'500, 150 * kMs, 0, 5 * kMs};

TEST(SessionPolicy, ASatelliteLinkIsFullWhileABacklogDrainsAndAlarmsPassIt) {
  Line line(kSatellite);
  for (int i = 0; i < 9000; ++i) line.backlog_.append(10);
  line.welcome();
  line.run_for(20 * kSecond);
  line.bytes_ = 0;
  const std::uint64_t began_ns = line.now_ns_;
  std::uint64_t longest_ns = 0;
  for (int i = 0; i < 10; ++i) {
    longest_ns = std::max(longest_ns, line.alarm_waits_ns());
    line.run_for(kSecond);
  }
  const double used = static_cast<double>(line.bytes_) /
                      (static_cast<double>(line.now_ns_ - began_ns) / 1e9 * 125'000);
  ASSERT_GT(line.backlog_.next_offset(), line.session_->streams()[0].sent_offset());
  EXPECT_GE(used, 0.9);
  EXPECT_LE(longest_ns, 700 * kMs);
  EXPECT_LE(line.largest_, 20'000U);  // a tenth of a second, and a block
}

TEST(SessionPolicy, OnASlowLinkMessagesAreSmall) {
  Line line(kModem);
  for (int i = 0; i < 400; ++i) line.backlog_.append(5);
  line.welcome();
  line.run_for(30 * kSecond);
  std::uint64_t longest_ns = 0;
  for (int i = 0; i < 5; ++i) longest_ns = std::max(longest_ns, line.alarm_waits_ns());
  ASSERT_GT(line.backlog_.next_offset(), line.session_->streams()[0].sent_offset());
  EXPECT_LE(longest_ns, 2 * kSecond);
}

TEST(SessionPolicy, OnASlowLinkALargeBlockKeepsNobodyWaiting) {
  Line line(kModem);
  for (int i = 0; i < 40; ++i) line.backlog_.append(1000);  // some 55 KB each: 22 s of this link
  line.welcome();
  line.run_for(30 * kSecond);
  std::uint64_t longest_ns = 0;
  for (int i = 0; i < 5; ++i) longest_ns = std::max(longest_ns, line.alarm_waits_ns());
  ASSERT_GT(line.backlog_.next_offset(), line.session_->streams()[0].sent_offset());
  EXPECT_LE(longest_ns, 2 * kSecond);
}

}  // namespace
}  // namespace spillway::uplink::test
