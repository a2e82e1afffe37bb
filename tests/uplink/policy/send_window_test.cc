// The window on modelled links: each is kept full by a backlog, and live data hardly waits.
#include "uplink/policy/send_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <vector>

#include "uplink/policy/modelled_link.h"

namespace spillway::uplink::test {
namespace {

/// What a new session takes to know the slowest of the links.
constexpr std::uint64_t kLearntIn = 40 * kSecond;

/// A backlog without end, and now and then a small live message.
class Drain {
 public:
  Drain(LinkFacts facts, std::uint64_t seed, std::uint64_t rate_limit = 0)
      : link_(facts, seed), facts_(facts), window_(4U << 20, rate_limit) {}

  void become(LinkFacts facts) {
    facts_ = facts;
    link_.become(facts);
  }

  struct Figures {
    double used = 0;  // of the link's rate
    std::uint64_t live_waits_ns_max = 0;
    std::uint64_t live_waits_ns_mean = 0;
  };
  Figures run_for(std::uint64_t time_ns) {
    const std::uint64_t end_ns = now_ns_ + time_ns;
    delivered_ = 0;
    waits_.clear();
    while (now_ns_ < end_ns) {
      send();
      now_ns_ = std::min({end_ns, next_live_ns_ > now_ns_ ? next_live_ns_ : end_ns,
                          on_way_.empty() ? end_ns : on_way_.front().acknowledged_ns});
      while (!on_way_.empty() && on_way_.front().acknowledged_ns <= now_ns_) {
        window_.on_acknowledged(on_way_.front().flight, now_ns_);
        delivered_ += on_way_.front().flight.bytes;
        on_way_.pop_front();
      }
    }
    Figures figures;
    figures.used = static_cast<double>(delivered_) /
                   (static_cast<double>(facts_.bytes_per_s) * static_cast<double>(time_ns) / 1e9);
    for (const std::uint64_t wait : waits_) {
      figures.live_waits_ns_max = std::max(figures.live_waits_ns_max, wait);
      figures.live_waits_ns_mean += wait / waits_.size();
    }
    return figures;
  }
  SendWindow& window() { return window_; }

 private:
  struct OnWay {
    Flight flight;
    std::uint64_t acknowledged_ns;
  };

  void put(std::uint64_t bytes, std::uint64_t created_ns) {
    const Flight flight = window_.on_sent(bytes, now_ns_);
    const auto way = link_.carry(bytes, now_ns_);
    on_way_.push_back({flight, way.acknowledged_ns});
    if (created_ns != 0) {
      waits_.push_back(way.arrives_ns - created_ns -
                       std::min(way.arrives_ns - created_ns, facts_.one_way_ns));
    }
  }
  void send() {
    if (now_ns_ >= next_live_ns_ && window_.admits_live()) {
      put(200, next_live_ns_);
      next_live_ns_ += kSecond;
    }
    while (window_.admits_backlog()) put(window_.message_bytes(), 0);
  }

  ModelledLink link_;
  LinkFacts facts_;
  SendWindow window_;
  std::deque<OnWay> on_way_;
  std::vector<std::uint64_t> waits_;
  std::uint64_t now_ns_ = kSecond;
  std::uint64_t next_live_ns_ = 2 * kSecond;
  std::uint64_t delivered_ = 0;
};

constexpr LinkFacts kLan{12'500'000, 200'000, 0, 3 * kMs};
constexpr LinkFacts kSatellite{125'000, 300 * kMs, 100 * kMs, 5 * kMs};
constexpr LinkFacts kSteadySatellite{125'000, 300 * kMs, 0, 5 * kMs};
constexpr LinkFacts kModem{2'500, 150 * kMs, 20 * kMs, 5 * kMs};
constexpr LinkFacts kSlowLte{16'000, 60 * kMs, 20 * kMs, 5 * kMs};
constexpr LinkFacts kLte{1'250'000, 25 * kMs, 10 * kMs, 5 * kMs};

struct Case {
  const char* name;
  LinkFacts facts;
  std::uint64_t live_waits_ns_max;
};

class LinkKinds : public ::testing::TestWithParam<Case> {};

TEST_P(LinkKinds, IsFullAndLiveDataHardlyWaits) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Drain drain(GetParam().facts, seed);
    static_cast<void>(drain.run_for(kLearntIn));
    const auto figures = drain.run_for(120 * kSecond);
    if (seed == 1) {
      std::printf("%s: %.1f %% used, live data waits %.0f ms, at most %.0f\n", GetParam().name,
                  100 * figures.used, static_cast<double>(figures.live_waits_ns_mean) / 1e6,
                  static_cast<double>(figures.live_waits_ns_max) / 1e6);
    }
    EXPECT_GE(figures.used, 0.9) << "seed " << seed;
    EXPECT_LE(figures.live_waits_ns_max, GetParam().live_waits_ns_max) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(SendWindow, LinkKinds,
                         ::testing::Values(Case{"lan", kLan, 300 * kMs},
                                           Case{"satellite", kSatellite, 1400 * kMs},
                                           Case{"steady_satellite", kSteadySatellite, 700 * kMs},
                                           Case{"modem", kModem, 1600 * kMs},
                                           Case{"lte", kLte, 500 * kMs}),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST(SendWindow, ALinkThatBecomesAnotherIsLearntAnew) {
  struct Change {
    const char* what;
    LinkFacts before;
    LinkFacts after;
    std::uint64_t learnt_in_ns;
  };
  for (const Change& change : {Change{"slower", kSteadySatellite, kModem, 90 * kSecond},
                               Change{"faster", kModem, kLte, 30 * kSecond},
                               Change{"longer", kLte, kSteadySatellite, 40 * kSecond},
                               Change{"shorter", kSteadySatellite, kLte, 30 * kSecond},
                               Change{"much slower", kLte, kSlowLte, 60 * kSecond}}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      Drain drain(change.before, seed);
      static_cast<void>(drain.run_for(60 * kSecond));
      drain.become(change.after);
      static_cast<void>(drain.run_for(change.learnt_in_ns));
      const auto figures = drain.run_for(60 * kSecond);
      EXPECT_GE(figures.used, 0.9) << change.what << ", seed " << seed;
      EXPECT_LE(figures.live_waits_ns_max, 2500 * kMs) << change.what << ", seed " << seed;
    }
  }
}

}  // namespace
}  // namespace spillway::uplink::test
