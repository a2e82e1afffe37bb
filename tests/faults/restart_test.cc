// An agent that is killed and started again and again with nothing to drain: each start is to find
// its way, however often.
#include <gtest/gtest.h>

#include <array>

#include "spillway/core/env/sim_env.h"
#include "spillway/core/stream.h"
#include "spillway/core/stream_reader.h"

namespace spillway::tests {
namespace {

constexpr int kRestarts = 60;  // more than a segment of 64 KiB has pages

core::StreamOptions options() {
  core::StreamOptions made;
  made.name = "s";
  made.directory = "/spill/s";
  made.journal_page_path = "/run/queue/journal/s";
  made.segment_bytes = 64U * 1024;
  made.max_bytes = 1U << 20;
  return made;
}

format::LaneIdentity identity_of(std::uint64_t lane_id) {
  format::LaneIdentity identity;
  identity.mutate_lane_id(lane_id);
  identity.mutate_tick_rate_hz(1'000'000'000);
  identity.mutate_max_record_bytes(1024);
  identity.mutate_clock_kind(1);
  identity.mutate_topic_size(1);
  identity.mutate_producer_size(1);
  identity.mutable_topic()->Mutate(0, 't');
  identity.mutable_producer()->Mutate(0, 'p');
  return identity;
}

/// One record of 16 bytes.
const std::array<std::byte, 32> kFrame{std::byte{17}};

int records_in(core::env::Env& env) {
  auto reader = core::StreamReader::open(env, options().directory);
  EXPECT_TRUE(reader);
  int records = 0;
  while (reader) {
    const auto item = (*reader)->next();
    EXPECT_TRUE(item);
    if (!item || !*item) break;
    const auto* block = std::get_if<core::Block>(&**item);
    EXPECT_NE(block, nullptr) << "a gap";
    if (block == nullptr) break;
    const bool data = block->header.kind() == static_cast<std::uint8_t>(format::BlockKind::data);
    records += data ? static_cast<int>(block->header.count()) : 0;
  }
  return records;
}

class Restart : public ::testing::TestWithParam<std::uint64_t> {};  // how many lanes

TEST_P(Restart, WithoutARecordInBetweenNeverFillsTheSegmentWithHeads) {
  core::env::SimEnv env(1);
  env.set_volatile_root("/run");
  ASSERT_TRUE(env.make_directories("/run/queue/journal"));
  for (int i = 0; i < kRestarts; ++i) {
    auto stream = core::Stream::open(env, options());
    ASSERT_TRUE(stream) << stream.error().message;
    for (std::uint64_t lane = 1; i == 0 && lane <= GetParam(); ++lane) {
      ASSERT_TRUE((*stream)->declare_lane(identity_of(lane), 0, 0, false));
    }
    EXPECT_EQ((*stream)->lanes().size(), GetParam()) << "after " << i << " restarts";
    stream->reset();  // as a kill does: nothing is sealed
    env.restart_after_kill();
  }
  // And then there is something to drain.
  auto stream = core::Stream::open(env, options());
  ASSERT_TRUE(stream) << stream.error().message;
  const auto appended = (*stream)->append({1, kFrame.size(), kFrame, 0, 0});
  ASSERT_TRUE(appended) << appended.error().message;
  EXPECT_EQ(appended->first_offset, 0U);
  EXPECT_EQ(records_in(env), 1);
}

INSTANTIATE_TEST_SUITE_P(Lanes, Restart, ::testing::Values(1, 8));

}  // namespace
}  // namespace spillway::tests
