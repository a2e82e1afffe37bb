// A disk without one free byte, and what a stream does to go on: it gives back what was delivered before it
// gives up what was not, and finds its way out by itself.
#include "spill_helpers.h"
#include "spillway/core/cursor.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::value_of;

class FullDisk : public ::testing::Test {
 protected:
  FullDisk() {
    env_.set_volatile_root("/run");
    options_ = testing::small_options("");
    options_.uplinks = {"cloud"};
  }
  void stand_in_memory() {
    options_.placement = Placement::kMemoryFirst;
    options_.memory_directory = "/run/spill/test";
    options_.memory_bytes = 3 * options_.segment_bytes;
  }
  Result<void> open() {
    stream_.reset();
    SPILLWAY_TRY(opened, Stream::open(env_, options_));
    stream_ = std::move(opened);
    return stream_->declare_lane(testing::make_identity(1), 0, 0, false);
  }
  /// As the drain does it, with whatever the worker has to do in between. How many went in.
  int put(int count) {
    int taken = 0;
    for (int i = 0; i < count; ++i) {
      if (testing::append_records(*stream_, 1, {std::string(3000, 'x')}, 16)) ++taken;
      env_.advance_ns(100'000'000);
      move();
      value_of(testing::sync_now(*stream_));
      if (i % 10 == 9) static_cast<void>(stream_->collect());
    }
    return taken;
  }
  void move() {
    while (const auto order = stream_->order_move()) {
      if (!stream_->finish_move(*order, order->run())) return;  // it is tried again
    }
  }
  /// The far end takes everything.
  void acknowledge() {
    if (!cursor_) cursor_ = value_of(Cursor::open_in(env_, options_.directory, "cloud"));
    auto reader = value_of(StreamReader::open(env_, options_.directory));
    const auto journals = value_of(reader->journals());
    value_of(cursor_->advance(
        {journals.back().journal, journals.back().sequence, stream_->next_offset()}));
    value_of(cursor_->sync());
  }
  void fill_up() {
    cursor_ = value_of(Cursor::open_in(env_, options_.directory, "cloud"));
    env_.set_capacity_bytes(used_bytes());
  }
  [[nodiscard]] std::uint64_t used_bytes() {
    std::uint64_t bytes = 0;
    for (const char* folder : {"", "/cursors"}) {
      for (const auto& file : value_of(env_.list_sizes(options_.directory + folder))) {
        bytes += file.bytes;
      }
    }
    return bytes;
  }

  env::SimEnv env_{1};
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Cursor> cursor_;
};

TEST_F(FullDisk, WhatWasDeliveredIsGivenBackAndNotCalledDropped) {
  value_of(open());
  ASSERT_EQ(put(100), 100);
  fill_up();
  acknowledge();
  // Nobody has collected since.
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(testing::append_records(*stream_, 1, {std::string(3000, 'x')}, 16)) << i;
  }
  EXPECT_GT(stream_->oldest_offset(), 0U);
  EXPECT_TRUE(stream_->gaps().all().empty());
}

TEST_F(FullDisk, AStreamThatRejectsNewStartsOnItWhenItsBacklogWasDelivered) {
  options_.when_full = WhenFull::kRejectNew;
  value_of(open());
  ASSERT_EQ(put(100), 100);
  acknowledge();
  for (const char* page :
       {"/control", "/gaps"}) {  // as the file system's own commit has done long ago
    value_of(
        value_of(env_.open(options_.directory + page, env::OpenMode::kReadWrite))->sync_data());
  }
  stream_.reset();
  cursor_.reset();
  env_.restart_after_power_cut();
  env_.set_capacity_bytes(used_bytes());
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(stream_->recovery().new_journal);
  EXPECT_EQ(stream_->next_offset(), 100U);
  EXPECT_TRUE(stream_->gaps().all().empty());
  EXPECT_GT(put(20), 0);
}

TEST_F(FullDisk, AStreamThatRejectsNewWaitsForItsBacklogsDelivery) {
  options_.when_full = WhenFull::kRejectNew;
  value_of(open());
  ASSERT_EQ(put(60), 60);
  fill_up();
  ASSERT_LT(put(60), 60);
  const std::uint64_t held = stream_->next_offset();
  EXPECT_EQ(testing::read_all(env_, options_.directory).records.size(), held);
  acknowledge();
  EXPECT_EQ(put(30), 30);
  EXPECT_TRUE(stream_->gaps().all().empty());
}

/// What stands in memory is to go where there is no room: the oldest on the disk makes some.
TEST_F(FullDisk, AMemoryFirstStreamThatDropsTheOldestGoesOn) {
  stand_in_memory();
  value_of(open());
  put(150);
  ASSERT_EQ(stream_->memory_bytes(), 0U);
  fill_up();
  EXPECT_EQ(put(400), 400);
  EXPECT_EQ(stream_->durable_offset(), stream_->next_offset());
  ASSERT_EQ(stream_->gaps().all().size(), 1U);
  EXPECT_EQ(stream_->gaps().all().front().next_offset, stream_->oldest_offset());
}

TEST_F(FullDisk, AMemoryFirstStreamGivesBackWhatWasDeliveredAndGoesBackToMemory) {
  stand_in_memory();
  value_of(open());
  put(150);
  ASSERT_EQ(stream_->memory_bytes(), 0U);
  fill_up();
  acknowledge();
  for (int second = 0; second < 5; ++second) {
    env_.advance_ns(1'000'000'000);
    value_of(stream_->collect());
  }
  EXPECT_GT(stream_->oldest_offset(), 100U);
  for (int round = 0; round < 70 && stream_->place() != PlaceInForce::kMemory; ++round) {
    put(1);
    acknowledge();
    env_.advance_ns(1'000'000'000);
    value_of(stream_->collect());
  }
  EXPECT_EQ(stream_->place(), PlaceInForce::kMemory);
  EXPECT_TRUE(stream_->gaps().all().empty());
}

}  // namespace
}  // namespace spillway::core
