// Live records that wait for others of their message: never longer than they may, and nothing waits
// that is large, or has a gap behind it.
#include <gtest/gtest.h>

#include "core/spill_helpers.h"
#include "uplink/session/stream_pump.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::testing::value_of;

constexpr std::uint64_t kGatherNs = 1000;

class LinkGatherTest : public ::testing::Test {
 protected:
  LinkGatherTest() {
    pump_.gather(kGatherNs);
    const HeldStream held = value_of(pump_.describe());
    value_of(pump_.start({0, {{held.journals[0].journal, 0}}}, {}));
  }
  /// Data blocks in the message that goes at this time; 0: none goes.
  std::size_t blocks_at(std::uint64_t now_ns) {
    pump_.tell_time(now_ns);
    const auto message = value_of(pump_.pull(kMessageBytesTarget));
    if (!message) return 0;
    std::size_t blocks = 0;
    const auto decoded = decode(*message);
    for (const RunView& run : std::get<Blocks>(*decoded).runs) {
      for (std::size_t at = 0; at < run.blocks.size();) {
        format::BlockHeader header;
        std::memcpy(static_cast<void*>(&header), run.blocks.data() + at, sizeof header);
        blocks += header.count() != 0 ? 1 : 0;
        at += sizeof header + header.stored_size();
      }
    }
    return blocks;
  }

  FakeSpill spill_{"one"};
  StreamPump pump_{0, spill_};
};

TEST_F(LinkGatherTest, RecordsWaitForOthersAndGoTogether) {
  spill_.append(3);
  EXPECT_EQ(blocks_at(5000), 0U);
  spill_.append(3);
  EXPECT_EQ(blocks_at(5999), 0U);
  spill_.append(3);
  EXPECT_EQ(blocks_at(6000), 3U);
  EXPECT_EQ(blocks_at(6001), 0U);
  spill_.append(3);
  EXPECT_EQ(blocks_at(7000), 0U) << "the next one's time begins anew";
  EXPECT_EQ(blocks_at(8000), 1U);
}

TEST_F(LinkGatherTest, ABacklogDoesNotWait) {
  for (int i = 0; i < 20; ++i) spill_.append(50);
  EXPECT_GT(blocks_at(5000), 0U);
}

TEST_F(LinkGatherTest, WhatAGapFollowsDoesNotWait) {
  spill_.append(3);
  spill_.append(3);
  spill_.punch(3, 6, format::GapReason::damage);
  EXPECT_EQ(blocks_at(5000), 1U);
}

}  // namespace
}  // namespace spillway::uplink::test
