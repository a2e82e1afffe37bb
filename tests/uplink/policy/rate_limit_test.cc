#include "uplink/policy/rate_limit.h"

#include <gtest/gtest.h>

#include <random>

#include "uplink/policy/wire_meter.h"

namespace spillway::uplink::test {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(RateLimit, SpendsExactlyItsRateWhateverTheSizes) {
  for (const std::uint64_t rate : {125U, 2'500U, 250'000U, 3'333'333U}) {
    std::mt19937_64 random(rate);
    RateLimit limit(rate);
    std::uint64_t now_ns = 100 * kSecond;
    const std::uint64_t end_ns = now_ns + 3600 * kSecond;
    std::uint64_t spent = 0;
    std::uint64_t last = 0;
    while (now_ns < end_ns) {
      if (limit.wait_ns(now_ns) == 0) {
        last = 1 + random() % (rate / 2);
        limit.spend(last, now_ns);
        spent += last;
      }
      now_ns += std::max<std::uint64_t>(limit.wait_ns(now_ns), 1);
    }
    const std::uint64_t allowed = rate * 3600;
    EXPECT_LE(spent, allowed + rate * RateLimit::kBurstNs / kSecond + last + 1) << rate;
    EXPECT_GE(spent, allowed - last) << rate;
  }
}

TEST(RateLimit, SavesNothingUpButATenthOfASecond) {
  RateLimit limit(1000);
  std::uint64_t spent = 0;
  const std::uint64_t now_ns = 3600 * kSecond;  // after an idle hour
  while (limit.wait_ns(now_ns) == 0) {
    limit.spend(10, now_ns);
    spent += 10;
  }
  EXPECT_LE(spent, 110U);
}

TEST(RateLimit, WithoutALimitNeverWaits) {
  RateLimit limit(0);
  limit.spend(1ULL << 40, 1);
  EXPECT_EQ(limit.wait_ns(1), 0U);
}

TEST(WireMeter, ChargesTheLargerOfBothCountsAndNothingTwice) {
  WireMeter meter;
  meter.handed_over(1000);
  EXPECT_EQ(meter.take(200, 50).sent, 1000U);  // it stands in the socket's buffer
  EXPECT_EQ(meter.take(1100, 50).sent, 100U);  // headers
  meter.handed_over(500);
  const auto charge = meter.take(1200, 80);
  EXPECT_EQ(charge.sent, 400U);
  EXPECT_EQ(charge.received, 30U);
  EXPECT_EQ(meter.take(1200, 80).sent, 0U);
  EXPECT_EQ(meter.take(1900, 80).sent, 400U);
}

}  // namespace
}  // namespace spillway::uplink::test
