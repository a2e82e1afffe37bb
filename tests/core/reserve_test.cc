// A reject-new stream at its quota: whatever happens to it, it starts, and its backlog can be drained.
#include <cstdio>

#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::value_of;

class FullStream {
 public:
  explicit FullStream(std::uint64_t seed) : env_(seed) {
    env_.set_volatile_root("/run");
    options_ = testing::small_options("");
    options_.when_full = WhenFull::kRejectNew;
    options_.uplinks = {"cloud"};
  }
  env::SimEnv& env() { return env_; }
  Stream& stream() { return *stream_; }
  [[nodiscard]] const StreamOptions& options() const { return options_; }
  [[nodiscard]] std::uint64_t durable() const { return durable_; }

  Result<void> open() {
    stream_.reset();
    SPILLWAY_TRY(opened, Stream::open(env_, options_));
    stream_ = std::move(opened);
    declared_.clear();
    return {};
  }
  void restart(bool power_cut) {
    stream_.reset();
    if (power_cut) {
      env_.restart_after_power_cut();
    } else {
      env_.restart_after_kill();
    }
  }
  /// Until nothing more goes in.
  void fill() {
    for (int i = 0; i < 2000; ++i) {
      if (i % 5 == 0) sync();
      if (auto order = stream_->order_spare()) stream_->finish_spare(*order, order->run());
      const auto appended = put();
      if (appended) continue;
      EXPECT_EQ(appended.error().code, ErrorCode::kFull) << appended.error().message;
      return;
    }
    ADD_FAILURE() << "it is never full";
  }
  /// As the drain does it: the lane is declared first.
  Result<Appended> put() {
    const std::uint64_t lane = 1 + stream_->next_offset() % 3;
    if (!declared_.contains(lane)) {
      SPILLWAY_CHECKED(stream_->declare_lane(testing::make_identity(lane), 0, 0, false));
      declared_.insert(lane);
    }
    return append_records(*stream_, lane,
                          {std::to_string(stream_->next_offset()) + std::string(3000, '.')}, 16);
  }
  void sync() {
    value_of(testing::sync_now(*stream_));
    durable_ = std::max(durable_, stream_->durable_offset());
  }
  /// The far end has taken everything.
  void acknowledge() {
    auto reader = value_of(StreamReader::open(env_, options_.directory));
    const auto journals = value_of(reader->journals());
    auto cursor = value_of(Cursor::open(env_, options_.directory + "/cursors/cloud"));
    value_of(cursor->advance(
        {journals.back().journal, journals.back().sequence, stream_->next_offset()}));
    value_of(cursor->sync());
  }
  void expect_all_is_there() {
    const auto back = testing::read_all(env_, options_.directory);
    EXPECT_GE(back.position, durable_);
    EXPECT_TRUE(back.gaps.empty());
    for (const auto& [offset, record] : back.records) {
      EXPECT_EQ(record.substr(0, record.find('.')), std::to_string(offset));
    }
  }

 private:
  env::SimEnv env_;
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  std::set<std::uint64_t> declared_;
  std::uint64_t durable_ = 0;
};

void expect_full(FullStream& full) {
  const auto refused = full.put();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFull);
  EXPECT_LE(full.stream().held_bytes(), full.options().max_bytes);
}

TEST(ReserveTest, AFullStreamStartsAsOftenAsThePowerIsCutAndGoesOnWhenItIsDrained) {
  FullStream full(1);
  value_of(full.open());
  full.fill();
  full.sync();
  for (int cut = 0; cut < 10; ++cut) {
    full.restart(true);
    const auto opened = full.open();
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_TRUE(full.stream().recovery().new_journal);
    value_of(full.stream().append_clock());
    expect_full(full);
    full.expect_all_is_there();
    full.sync();
  }
  full.acknowledge();
  ASSERT_TRUE(full.put()) << "the records behind an acknowledged backlog";
  value_of(full.stream().collect());
  EXPECT_GT(full.stream().oldest_offset(), 0U);
  full.sync();
  const auto back = testing::read_all(full.env(), full.options().directory);
  EXPECT_EQ(back.records.size(), 1U);
  EXPECT_GE(back.lane_blocks, 1U) << "what was declared while nothing could be written";
}

TEST(ReserveTest, ALaneDeclaredWhileNothingWentInStandsBeforeItsRecordsAlsoWhenRoomCameByItself) {
  FullStream full(3);
  value_of(full.open());
  full.fill();
  full.sync();
  full.restart(true);
  value_of(full.open());
  const std::uint64_t next = full.stream().next_offset();
  // A new producer, after the boot: its lane is declared while the reserve is all there is.
  value_of(full.stream().declare_lane(testing::make_identity(9), 0, 0, false));
  ASSERT_FALSE(append_records(full.stream(), 9, {"early"}, 16));
  full.acknowledge();
  // Room comes by the upkeep, not by the append.
  value_of(full.stream().collect());
  value_of(append_records(full.stream(), 9, {"late"}, 16));
  const auto back = testing::read_all(full.env(), full.options().directory, next);
  ASSERT_EQ(back.records.count(next), 1U) << "records of a lane that its segment does not declare";
  EXPECT_EQ(back.records.at(next), "late");
  EXPECT_TRUE(back.gaps.empty());
}

TEST(ReserveTest, ALaneThatEndsWhileNothingGoesInIsNotForgotten) {
  FullStream full(2);
  value_of(full.open());
  full.fill();
  full.sync();
  full.restart(true);
  value_of(full.open());
  const auto closed = full.stream().declare_lane(testing::make_identity(2), 16, 3, true);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::kFull) << "the drain tries again";
  full.acknowledge();
  ASSERT_TRUE(full.stream().declare_lane(testing::make_identity(2), 16, 3, true));
  full.sync();
  full.restart(true);
  value_of(Stream::open(full.env(), full.options()));
}

TEST(ReserveTest, ALaneThatComesWhileNothingGoesInIsDeclaredBeforeItsRecords) {
  FullStream full(4);
  value_of(full.open());
  full.fill();
  full.sync();
  full.restart(true);
  value_of(full.open());
  value_of(full.stream().declare_lane(testing::make_identity(9), 0, 0, false));
  const auto refused = append_records(full.stream(), 9, {"late"}, 16);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFull);
  full.acknowledge();
  const Appended late = value_of(append_records(full.stream(), 9, {"late"}, 16));
  full.sync();
  const auto back = testing::read_all(full.env(), full.options().directory);
  ASSERT_TRUE(back.records.contains(late.first_offset)) << "its lane was not declared before it";
  EXPECT_EQ(back.records.at(late.first_offset), "late");
}

TEST(ReserveTest, AfterAPowerCutAtAnyStepItStartsAndCanBeDrained) {
  FullStream whole(3);
  value_of(whole.open());
  whole.fill();
  const std::uint64_t steps = whole.env().steps();
  std::uint64_t cuts = 0;
  for (std::uint64_t step = 20; step < steps && !::testing::Test::HasFailure(); step += 3) {
    SCOPED_TRACE("power cut at step " + std::to_string(step));
    FullStream full(3);
    full.env().cut_power_at(step);
    try {
      value_of(full.open());
      full.fill();
      FAIL() << "not reached";
    } catch (const env::PowerCut&) {
    }
    full.restart(true);
    // Cut again while it starts, and once more soon after.
    full.env().cut_power_at(full.env().steps() + step % 23);
    try {
      ASSERT_TRUE(full.open());
    } catch (const env::PowerCut&) {
    }
    full.restart(true);
    value_of(full.open());
    full.expect_all_is_there();
    full.fill();
    full.sync();
    full.restart(step % 2 == 0);
    const auto opened = full.open();
    ASSERT_TRUE(opened) << opened.error().message;
    expect_full(full);
    full.acknowledge();
    ASSERT_TRUE(full.put());
    ++cuts;
  }
  std::printf("[ steps    ] %llu power cuts\n", static_cast<unsigned long long>(cuts));
}

}  // namespace
}  // namespace spillway::core
