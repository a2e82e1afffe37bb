// The writer's order and its group commit.
#include "uplink/consumer/inbox/inbox_writer.h"

#include <gtest/gtest.h>

#include <future>

#include "uplink/memory_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::InboxBatch;
using consumer::InboxWriter;

InboxBatch batch(std::uint64_t from, std::uint64_t next) {
  InboxBatch made;
  made.key = {uuid_number(1), uuid_number(2), "one"};
  made.begins = from == 0;
  made.from = from;
  made.next = next;
  return made;
}

TEST(InboxWriter, AQuestionSeesAllThatWasQueuedBeforeIt) {
  InboxWriter writer(std::make_unique<MemoryInbox>());
  for (std::uint64_t i = 0; i < 200; ++i) {
    writer.apply(batch(i, i + 1),
                 [](InboxBatch, core::Result<void> outcome) { EXPECT_TRUE(outcome); });
  }
  std::promise<core::Result<consumer::Positions>> answer;
  writer.ask(
      {{{uuid_number(1), uuid_number(2), "one"}}},
      [&](core::Result<consumer::Positions> positions) { answer.set_value(std::move(positions)); });
  EXPECT_EQ(answer.get_future().get()->at(0), 200U);
}

TEST(InboxWriter, StopFinishesWhatIsQueued) {
  InboxWriter writer(std::make_unique<MemoryInbox>());
  std::atomic<int> done = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    writer.apply(batch(i, i + 1), [&](InboxBatch, core::Result<void>) { ++done; });
  }
  writer.stop();
  EXPECT_EQ(done, 100);
  EXPECT_EQ(writer.queued_bytes(), 0U);
}

TEST(InboxWriter, AFailedCommitIsToldAndTheNextOneIsTried) {
  auto inbox = std::make_unique<MemoryInbox>();
  inbox->fail_next(1);
  InboxWriter writer(std::move(inbox));
  std::promise<bool> first;
  writer.apply(batch(0, 1), [&](InboxBatch, core::Result<void> outcome) {
    first.set_value(outcome.has_value());
  });
  EXPECT_FALSE(first.get_future().get());
  std::promise<bool> second;
  writer.apply(batch(0, 1), [&](InboxBatch, core::Result<void> outcome) {
    second.set_value(outcome.has_value());
  });
  EXPECT_TRUE(second.get_future().get());
}

}  // namespace
}  // namespace spillway::uplink::test
