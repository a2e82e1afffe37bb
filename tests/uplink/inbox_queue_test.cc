// Whose turn it is: fair between gateways, in order within one.
#include "uplink/consumer/inbox/inbox_queue.h"

#include <gtest/gtest.h>

#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::InboxQueue;

constexpr std::size_t kNoLimit = ~std::size_t{0};

InboxQueue::Order order(std::uint64_t gateway, std::uint64_t from, std::size_t bytes) {
  consumer::InboxBatch batch;
  batch.key = {uuid_number(gateway), uuid_number(2), "one"};
  batch.from = from;
  batch.decoded_bytes = bytes;
  batch.records.resize(1);
  return {std::move(batch), [](consumer::InboxBatch, core::Result<void>) {}};
}

InboxQueue::Question question(std::uint64_t gateway) {
  return {{{{uuid_number(gateway), uuid_number(2), "one"}}},
          [](core::Result<consumer::Positions>) {}};
}

TEST(InboxQueue, ASmallGatewayDoesNotWaitBehindTheBacklogsOfOthers) {
  InboxQueue queue;
  for (std::uint64_t i = 0; i < 100; ++i) {
    for (std::uint64_t bulk = 1; bulk <= 10; ++bulk) queue.put(order(bulk, i, 256U << 10));
  }
  // They have been served for a while when the small one comes.
  static_cast<void>(queue.take_orders(40U << 20, kNoLimit));
  queue.put(order(77, 0, 100));
  const auto next = queue.take_orders(1U << 20, kNoLimit);
  const bool served = std::any_of(next.begin(), next.end(), [](const auto& one) {
    return one.batch.key.gateway == uuid_number(77);
  });
  EXPECT_TRUE(served);
}

TEST(InboxQueue, BacklogsShareByBytesWhateverTheirMessages) {
  InboxQueue queue;
  for (std::uint64_t i = 0; i < 1000; ++i) queue.put(order(1, i, 256U << 10));
  for (std::uint64_t i = 0; i < 4000; ++i) queue.put(order(2, i, 64U << 10));
  std::map<core::Uuid, std::size_t> bytes;
  for (const auto& one : queue.take_orders(64U << 20, kNoLimit)) {
    bytes[one.batch.key.gateway] += one.batch.decoded_bytes;
  }
  const double share =
      static_cast<double>(bytes[uuid_number(1)]) / static_cast<double>(bytes[uuid_number(2)]);
  EXPECT_GT(share, 0.8);
  EXPECT_LT(share, 1.25);
}

TEST(InboxQueue, WithinAGatewayTheOrderStaysAndAllIsTaken) {
  InboxQueue queue;
  std::map<core::Uuid, std::uint64_t> next;
  std::size_t put = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    for (std::uint64_t gateway = 1; gateway <= 3; ++gateway, ++put) {
      queue.put(order(gateway, i, 1000 * gateway * (i % 7)));
    }
  }
  std::size_t taken = 0;
  while (!queue.empty()) {
    const auto some = queue.take_orders(10'000, 5);
    ASSERT_FALSE(some.empty());
    for (const auto& one : some) {
      EXPECT_EQ(one.batch.from, next[one.batch.key.gateway]++);
      ++taken;
    }
  }
  EXPECT_EQ(taken, put);
}

TEST(InboxQueue, AQuestionWaitsForWhatItsGatewayQueuedBeforeItAndForNothingElse) {
  InboxQueue queue;
  queue.put(order(1, 0, 1U << 20));
  queue.put(order(2, 0, 1U << 20));
  queue.put(question(2));
  queue.put(question(3));
  queue.put(order(2, 1, 10));
  EXPECT_EQ(queue.take_questions().size(), 1U);  // gateway 3's
  EXPECT_TRUE(queue.take_questions().empty());
  bool second_taken = false;
  while (!second_taken) {
    const auto one = queue.take_orders(1, 1);
    ASSERT_EQ(one.size(), 1U);
    second_taken = one[0].batch.key.gateway == uuid_number(2) && one[0].batch.from == 0;
  }
  EXPECT_EQ(queue.take_questions().size(), 1U);
}

TEST(InboxQueue, ATransactionIsBoundedByRecordsToo) {
  InboxQueue queue;
  for (std::uint64_t i = 0; i < 100; ++i) queue.put(order(1, i, 10));
  EXPECT_EQ(queue.take_orders(kNoLimit, 30).size(), 30U);
}

}  // namespace
}  // namespace spillway::uplink::test
