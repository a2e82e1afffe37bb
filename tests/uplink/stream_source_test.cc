// An uplink's own cursor: what it takes for one, and what not.
#include "uplink/session/stream_source.h"

#include <gtest/gtest.h>

#include "core/spill_helpers.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::uplink {
namespace {

using core::testing::value_of;

TEST(StreamSourceTest, AWholeCursorOfAnotherSpillDoesNotStandInTheTrueOnesWay) {
  for (const std::uint64_t sequence : {0ULL, 1ULL, 7ULL, ~0ULL}) {
    SCOPED_TRACE("of its journal " + std::to_string(sequence));
    core::env::SimEnv env(1);
    const auto options = core::testing::small_options("");
    auto stream = value_of(core::Stream::open(env, options));
    const std::string path = options.directory + "/cursors/cloud";
    value_of(value_of(core::Cursor::open(env, path))
                 ->advance({core::Uuid::from_random(9, 9), sequence, 100'000}));
    const core::CursorPosition truth{stream->journal(), 0, 5};
    for (int start = 0; start < 2; ++start) {
      auto source = value_of(StreamSource::open(env, "/spill", "test", "cloud"));
      value_of(source->acknowledge(truth));
      value_of(source->sync_cursor());
      const auto stored = value_of(core::Cursor::load(env, path));
      ASSERT_TRUE(stored);
      EXPECT_EQ(stored->journal, truth.journal);
      EXPECT_EQ(stored->next_offset, truth.next_offset);
    }
  }
}

}  // namespace
}  // namespace spillway::uplink
