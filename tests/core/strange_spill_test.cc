// What may stand in a spill directory although no agent of this gateway put it there: names that no segment
// has, whole cursors of another spill. A stream starts, loses nothing, goes on.
#include <functional>

#include "core/spill/segment_file.h"
#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/verify.h"

namespace spillway::core {
namespace {

using testing::value_of;

class StrangeSpill {
 public:
  StrangeSpill() {
    env_.set_volatile_root("/run");
    options_ = testing::small_options("");
  }
  void open() {
    stream_.reset();
    auto opened = Stream::open(env_, options_);
    ASSERT_TRUE(opened) << opened.error().message;
    stream_ = std::move(*opened);
    ASSERT_TRUE(stream_->declare_lane(testing::make_identity(1), 0, 0, false));
  }
  void put(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string record = std::to_string(stream_->next_offset()) + std::string(3000, '.');
      value_of(testing::append_records(*stream_, 1, {record}, 16));
      if (i % 5 == 0) value_of(testing::sync_now(*stream_));
    }
    value_of(testing::sync_now(*stream_));
  }
  void restart(bool power_cut) {
    stream_.reset();
    if (power_cut) {
      env_.restart_after_power_cut();
    } else {
      env_.restart_after_kill();
    }
  }
  void leave_file(const std::string& name, std::size_t bytes, std::byte content) {
    auto file = value_of(env_.open(path_of(name), env::OpenMode::kCreateNew));
    value_of(file->write(0, std::vector<std::byte>(bytes, content)));
    value_of(file->sync_data());
    value_of(env_.sync_directory(options_.directory));
  }
  void leave_cursor(const CursorPosition& position, const std::string& folder) {
    auto cursor = value_of(Cursor::open(env_, folder + "/cursors/cloud"));
    value_of(cursor->advance(position));
    value_of(cursor->sync());
  }
  /// Every record is there, under its own offset, and nothing else is.
  void expect_whole(std::uint64_t count) {
    EXPECT_EQ(stream_->next_offset(), count);
    const auto back = testing::read_all(env_, options_.directory);
    EXPECT_EQ(back.records.size(), count);
    EXPECT_TRUE(back.gaps.empty());
    for (const auto& [offset, record] : back.records) {
      EXPECT_EQ(record.substr(0, record.find('.')), std::to_string(offset));
    }
    EXPECT_TRUE(verify_stream(env_, options_.directory));
  }
  [[nodiscard]] std::string path_of(const std::string& name) const {
    return options_.directory + "/" + name;
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
};

/// What stands there changes nothing, now and at the starts that follow.
void expect_in_nobodys_way(const std::function<void(StrangeSpill&)>& leave) {
  for (const bool power_cut : {false, true}) {
    SCOPED_TRACE(power_cut ? "after a power cut" : "after a kill");
    StrangeSpill spill;
    spill.open();
    spill.put(60);
    spill.stream_.reset();
    leave(spill);
    spill.restart(power_cut);
    spill.open();
    if (::testing::Test::HasFatalFailure()) return;
    spill.put(60);
    spill.expect_whole(120);
    spill.restart(true);
    spill.open();
    if (::testing::Test::HasFatalFailure()) return;
    spill.put(10);
    spill.expect_whole(130);
  }
}

TEST(StrangeSpillTest, AFileWithNumbersThatNoSegmentHasIsNone) {
  for (const char* name :
       {"18446744073709551615-00000000000000000000.spill",
        "18446744073709551614-00000000000000000000.spill",
        "18446744073709551615-18446744073709551615.spill", "9999999999-18446744073709551615.spill",
        "0000000000-18446744073709551615.spill", "99999999999999999999-00000000000000000060.spill",
        "-1-00000000000000000060.spill"}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{65536}}) {
      for (const std::byte content : {std::byte{0}, std::byte{0x5A}}) {
        SCOPED_TRACE(std::string(name) + ", " + std::to_string(bytes) + " bytes");
        expect_in_nobodys_way([&](StrangeSpill& spill) { spill.leave_file(name, bytes, content); });
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

/// What a damaged header may have been the header of is not known; its name is believed, within reason.
TEST(StrangeSpillTest, AnUnreadableNewestFileMovesTheOffsetsOnlyAsFarAsASegmentCould) {
  constexpr std::uint64_t kTop = std::uint64_t{1} << 62;
  const auto strange_names = [](std::uint64_t sequence) {
    return std::vector<std::string>{
        segment_file_name(sequence + 1, kTop - 1), segment_file_name(sequence + 1, 1ULL << 60),
        segment_file_name(sequence + 1, 1ULL << 40), segment_file_name(kTop - 1, 100'000),
        segment_file_name(1ULL << 40, 1ULL << 50)};
  };
  for (const bool power_cut : {false, true}) {
    for (std::size_t i = 0; i < strange_names(0).size(); ++i) {
      StrangeSpill spill;
      spill.open();
      spill.put(60);
      spill.restart(power_cut);
      const std::uint64_t newest =
          value_of(list_segment_names(spill.env_, spill.options_.directory)).back().sequence;
      const std::string name = strange_names(newest)[i];
      spill.leave_file(name, 64 << 10, std::byte{0xA5});
      spill.open();
      EXPECT_NE(spill.stream_->recovery().set_aside.find(name), std::string::npos);
      EXPECT_TRUE(value_of(spill.env_.exists(spill.path_of(name + ".damaged")))) << name;
      spill.put(20);
      spill.restart(power_cut);
      spill.open();
      spill.put(5);
      spill.expect_whole(85);
    }
  }
}

/// In this boot everything that was written is there, so a file that cannot be read is one that has held records.
/// After a power cut it may stand behind a hole: nothing in it was power-safe then.
TEST(StrangeSpillTest, AnUnreadableNewestFileOfAPlausibleNameIsOneExactGapOrWasNeverPowerSafe) {
  for (const bool power_cut : {false, true}) {
    StrangeSpill spill;
    spill.open();
    spill.put(60);
    spill.restart(power_cut);
    const std::uint64_t newest =
        value_of(list_segment_names(spill.env_, spill.options_.directory)).back().sequence;
    spill.leave_file(segment_file_name(newest + 1, 75), 64 << 10, std::byte{0xA5});
    spill.open();
    EXPECT_EQ(spill.stream_->next_offset(), power_cut ? 60U : 75U);
    spill.put(5);
    if (power_cut) {
      spill.expect_whole(65);
      continue;
    }
    const auto back = testing::read_all(spill.env_, spill.options_.directory);
    EXPECT_EQ(back.records.size(), 65U);
    ASSERT_EQ(back.gaps.size(), 1U);
    EXPECT_EQ(back.gaps[0].first_offset, 60U);
    EXPECT_EQ(back.gaps[0].next_offset, 75U);
  }
}

TEST(StrangeSpillTest, AWholeCursorOfAnotherSpillFreesNothing) {
  for (const std::uint64_t sequence : {0ULL, 1ULL, 2ULL, 7ULL, ~0ULL}) {
    SCOPED_TRACE("of its journal " + std::to_string(sequence));
    StrangeSpill spill;
    spill.options_.uplinks = {"cloud"};
    spill.open();
    spill.put(60);
    spill.restart(true);
    spill.open();
    spill.put(60);
    spill.leave_cursor({Uuid::from_random(9, 9), sequence, 100'000}, spill.options_.directory);
    value_of(spill.stream_->collect());
    EXPECT_EQ(value_of(spill.stream_->delivered_offset("cloud")), 0U);
    spill.expect_whole(120);
    // A boot later its number is nobody else's.
    spill.restart(true);
    spill.open();
    value_of(spill.stream_->collect());
    spill.put(1);
    spill.expect_whole(121);
  }
}

TEST(StrangeSpillTest, NorDoesOneThatStandsOnTheDiskOfAStreamInMemory) {
  StrangeSpill spill;
  spill.options_.uplinks = {"cloud"};
  spill.options_.placement = Placement::kMemoryFirst;
  spill.options_.memory_directory = "/run/spill/test";
  spill.options_.memory_bytes = 16 * spill.options_.segment_bytes;
  spill.open();
  spill.put(60);
  spill.leave_cursor({Uuid::from_random(9, 9), 7, 100'000}, spill.options_.directory);
  value_of(spill.stream_->collect());
  spill.expect_whole(60);
  // And the true one, in memory, counts beside it.
  spill.leave_cursor({spill.stream_->journal(), 0, 60}, spill.options_.memory_directory);
  value_of(spill.stream_->collect());
  EXPECT_GT(spill.stream_->oldest_offset(), 0U);
}

}  // namespace
}  // namespace spillway::core
