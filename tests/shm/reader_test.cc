// The C reader gives back what a lane's producer put, as the spill holds it.
#include "spillway/core/env/posix_env.h"
#include "spillway/core/stream.h"
#include "spillway/spillway.h"
#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

class Reader : public ::testing::Test {
 protected:
  /// Lane to spill, as the agent does it.
  void spill(std::uint64_t records) {
    queue_.open();
    core::env::Env& env = core::env::posix_env();
    core::StreamOptions options;
    options.name = "telemetry";
    options.directory = spill_dir() + "/telemetry";
    options.journal_page_path = queue_.path() + "/journal/telemetry";
    options.max_bytes = 1U << 20;
    options.segment_bytes = 256U << 10;
    ASSERT_TRUE(env.make_directories(options.directory));
    auto stream = core::Stream::open(env, options);
    ASSERT_TRUE(stream) << stream.error().message;
    Producer producer;
    ASSERT_EQ(producer.open(queue_.path().c_str(), "sensor/one", {.producer_name = "test"}),
              Status::kOk);
    auto lane = queue_.attach_only_lane();
    ASSERT_TRUE((*stream)->declare_lane(lane->identity(), 0, 0, false));
    for (std::uint64_t number = 0; number < records; ++number) {
      ASSERT_EQ(producer.put(make_record(number, 100)), Status::kOk);
    }
    for (;;) {
      const shm::Walk walk = lane->walk(4096);
      if (walk.frames.empty()) break;
      const auto appended = (*stream)->append(
          {lane->identity().lane_id(), walk.lane_end, walk.frames,
           shm::read_ticks(static_cast<format::ClockKind>(lane->identity().clock_kind())),
           env.boottime_ns()});
      ASSERT_TRUE(appended) << appended.error().message;
      lane->consume(walk.lane_end);
    }
    written_at_ns_ = env.utc_ns();
    ASSERT_TRUE((*stream)->close());
  }
  [[nodiscard]] std::string spill_dir() const { return queue_.path() + "-spill"; }

  TempQueue queue_;
  std::uint64_t written_at_ns_ = 0;
};

TEST_F(Reader, GivesEveryRecordOnceFromTheOffsetAskedFor) {
  spill(500);
  ASSERT_FALSE(HasFatalFailure());
  for (const std::uint64_t from : {0U, 1U, 77U, 499U, 500U}) {
    spillway_reader* reader = nullptr;
    ASSERT_EQ(spillway_reader_open(spill_dir().c_str(), "telemetry", from, &reader), SPILLWAY_OK)
        << spillway_error_detail();
    std::uint64_t next = from;
    spillway_record record{};
    while (spillway_reader_next(reader, &record) == SPILLWAY_OK) {
      ASSERT_EQ(record.offset, next);
      ASSERT_EQ(record.size, 100U);
      ASSERT_TRUE(is_record({static_cast<const std::byte*>(record.data), record.size}, next));
      ASSERT_STREQ(record.topic, "sensor/one");
      ASSERT_STREQ(record.producer, "test");
      // Within a minute of now: the counter, its rate and the anchors fit together.
      ASSERT_LE(static_cast<std::uint64_t>(record.produced_at_ns), written_at_ns_ + 1'000'000'000);
      ASSERT_GE(static_cast<std::uint64_t>(record.produced_at_ns) + 60'000'000'000, written_at_ns_);
      ++next;
    }
    EXPECT_EQ(next, 500U);
    EXPECT_EQ(spillway_reader_next(reader, &record), SPILLWAY_END);
    spillway_reader_close(reader);
  }
}

TEST_F(Reader, SaysWhatIsWrong) {
  spillway_reader* reader = nullptr;
  EXPECT_EQ(spillway_reader_open("/nonexistent", "telemetry", 0, &reader), SPILLWAY_NO_QUEUE);
  EXPECT_NE(std::string(spillway_error_detail()).find("/nonexistent"), std::string::npos);
  EXPECT_EQ(spillway_reader_open("/tmp", "../x", 0, &reader), SPILLWAY_INVALID);
  EXPECT_EQ(spillway_reader_open(nullptr, "x", 0, &reader), SPILLWAY_INVALID);
  EXPECT_EQ(reader, nullptr);
  spillway_reader_close(nullptr);
}

}  // namespace
}  // namespace spillway::tests
