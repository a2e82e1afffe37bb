// A record that the far end refused and does not keep, out of a real spill: its letter is safe before
// the cursor passes it.
#include <gtest/gtest.h>

#include "core/codec_helpers.h"
#include "spillway/core/dead_letters.h"
#include "spillway/core/env/sim_env.h"
#include "uplink/session/stream_source.h"
#include "uplink/session/uplink_session.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using core::DeadLetters;
using core::testing::value_of;

constexpr std::uint64_t kRecords = 40;

class RefusedRecordsTest : public ::testing::Test {
 protected:
  void begin(core::env::SimEnv& env) {
    core::StreamOptions options;
    options.name = "one";
    options.directory = "/spill/one";
    options.journal_page_path = "/run/journal/one";
    options.segment_bytes = 64 * 1024;
    options.max_bytes = 8 << 20;
    options.uplinks = {"cloud"};
    stream_ = value_of(core::Stream::open(env, options));
    value_of(stream_->declare_lane(core::testing::make_identity(1), 0, 0, false));
    std::vector<std::string> records;
    for (std::uint64_t i = 0; i < kRecords; ++i) records.push_back(record_text("one", i));
    value_of(core::testing::append_records(*stream_, 1, records, 1));
    value_of(core::testing::sync_now(*stream_));
    source_ = value_of(StreamSource::open(env, "/spill", "one", "cloud"));
    BlockSource* sources[] = {source_.get()};
    session_.emplace(UplinkSessionOptions{uuid_number(7), "g", "cloud"}, sources);
    value_of(session_->on_open(1));
    const Welcome welcome{1, 1U << 20, {{0, {{stream_->journal(), 0}}}}, false};
    value_of(session_->on_message(encode(welcome), 1));
    while (*session_->pull(1)) {
    }
  }
  core::Result<void> refuse(std::uint64_t offset) {
    const Ack ack{0, stream_->journal(), kRecords, 0, {{offset, "no table for it", false}}};
    return session_->on_message(encode(ack), 1);
  }
  void end() {
    session_.reset();
    source_.reset();
    stream_.reset();
  }

  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<StreamSource> source_;
  std::optional<UplinkSession> session_;
};

TEST_F(RefusedRecordsTest, IsKeptWholeBesideTheCursorAndTheRestGoesOn) {
  core::env::SimEnv env(1);
  begin(env);
  value_of(refuse(17));
  const auto letters = value_of(DeadLetters(env, "/spill/one", "cloud").load()).letters;
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0].offset, 17U);
  EXPECT_EQ(letters[0].journal, stream_->journal());
  EXPECT_EQ(letters[0].reason, "no table for it");
  EXPECT_FALSE(letters[0].topic.empty());
  EXPECT_TRUE(letters[0].whole());
  const std::string payload(reinterpret_cast<const char*>(letters[0].payload.data()),
                            letters[0].payload.size());
  EXPECT_EQ(payload, record_text("one", 17));
  EXPECT_EQ(source_->refused().kept_here, 1U);
  EXPECT_EQ(session_->streams()[0].acked_offset(), kRecords);
}

TEST_F(RefusedRecordsTest, AFullFileKeepsTheCursorWhereItIs) {
  core::env::SimEnv env(1);
  begin(env);
  DeadLetters letters(env, "/spill/one", "cloud");
  core::DeadLetter large;
  large.payload.resize(DeadLetters::kPayloadBytesMax);
  large.record_bytes = large.payload.size();
  for (bool room = true; room; ++large.offset) room = letters.append({&large, 1}).has_value();
  for (large.payload.resize(1); letters.append({&large, 1}); ++large.offset) {
  }
  const auto outcome = refuse(17);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, core::ErrorCode::kFull);
  EXPECT_NE(outcome.error().message.find("spillway dead"), std::string::npos);
  EXPECT_EQ(session_->streams()[0].acked_offset(), 0U);
}

TEST_F(RefusedRecordsTest, APowerCutAtAnyStepNeverLeavesTheCursorBehindItWithoutItsLetter) {
  for (std::uint64_t step = 0; step < 40; ++step) {
    core::env::SimEnv env(step + 1);
    env.set_volatile_root("/run");
    begin(env);
    env.cut_power_at(env.steps() + step);
    try {
      value_of(refuse(17));
      value_of(source_->sync_cursor());
    } catch (const core::env::PowerCut&) {
      SCOPED_TRACE("cut");
    }
    end();
    env.restart_after_power_cut();
    const auto cursor = value_of(core::Cursor::load(env, "/spill/one/cursors/cloud"));
    const auto letters = value_of(DeadLetters(env, "/spill/one", "cloud").load()).letters;
    if (cursor && cursor->next_offset > 17) {
      ASSERT_EQ(letters.size(), 1U) << "step " << step;
      EXPECT_EQ(letters[0].offset, 17U);
    }
  }
}

}  // namespace
}  // namespace spillway::uplink::test
