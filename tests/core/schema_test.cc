// Schemas in a stream: they stand before the data that they explain, in every segment.
#include "spillway/core/schema.h"

#include <fstream>

#include "spill_helpers.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/verify.h"

namespace spillway::core {
namespace {

using testing::append_records;
using testing::read_all;
using testing::value_of;

/// The stream does not look into them: only that they come back byte for byte counts here.
std::vector<std::byte> schema_bytes(std::size_t size, int fill) {
  return std::vector<std::byte>(size, static_cast<std::byte>(fill));
}

format::LaneIdentity lane_with(std::uint64_t lane_id, std::uint64_t fingerprint) {
  auto identity = testing::make_identity(lane_id);
  identity.mutate_schema_fingerprint(fingerprint);
  return identity;
}

class SchemaStreamTest : public ::testing::Test {
 protected:
  void open() {
    stream_.reset();
    stream_ = value_of(Stream::open(env_, options_));
  }
  void declare(std::uint64_t lane_id, std::span<const std::byte> bfbs, bool closed = false) {
    value_of(stream_->declare_lane(lane_with(lane_id, schema_fingerprint(bfbs)), 0, 0, closed));
  }
  void add(std::span<const std::byte> bfbs) {
    value_of(stream_->add_schema(schema_fingerprint(bfbs), bfbs));
  }
  void fill_segments(std::uint64_t lane_id, int count) {
    const auto segments = [this] {
      return value_of(verify_stream(env_, options_.directory)).segments.size();
    };
    const std::size_t wanted = segments() + static_cast<std::size_t>(count);
    while (segments() < wanted) {
      value_of(append_records(*stream_, lane_id, {std::string(20'000, 'x')}, ++lane_end_));
    }
  }
  testing::ReadBack read() { return read_all(env_, options_.directory, stream_->oldest_offset()); }

  env::Env& env_ = env::posix_env();
  testing::TemporaryDirectory root_;
  StreamOptions options_ = testing::small_options(root_.path());
  std::unique_ptr<Stream> stream_;
  std::uint64_t lane_end_ = 0;
};

TEST_F(SchemaStreamTest, StandsOnceInEachSegmentBeforeTheLanesData) {
  open();
  const auto bfbs = schema_bytes(3000, 1);
  declare(1, bfbs);
  add(bfbs);
  add(bfbs);
  declare(2, bfbs);
  add(bfbs);
  value_of(append_records(*stream_, 1, {"a"}));
  EXPECT_EQ(read().schema_blocks, 1U);
  fill_segments(1, 3);
  const auto back = read();
  EXPECT_EQ(back.schema_blocks, 4U);
  EXPECT_EQ(back.unexplained, 0U);
  EXPECT_TRUE(value_of(verify_stream(env_, options_.directory)).ok());
}

TEST_F(SchemaStreamTest, GoesWithTheLastLaneThatNamesIt) {
  open();
  const auto bfbs = schema_bytes(3000, 1);
  declare(1, bfbs);
  add(bfbs);
  declare(2, schema_bytes(10, 2));
  declare(1, bfbs, true);
  stream_->forget_lane(1);
  EXPECT_TRUE(stream_->has_schema(schema_fingerprint(bfbs))) << "this segment still has it";
  fill_segments(2, 2);
  EXPECT_FALSE(stream_->has_schema(schema_fingerprint(bfbs)));
  EXPECT_EQ(read().schema_blocks, 1U);
}

TEST_F(SchemaStreamTest, ARestartKnowsItAndGoesOnRepeatingItWithoutTheProducer) {
  const auto bfbs = schema_bytes(3000, 1);
  open();
  declare(1, bfbs);
  add(bfbs);
  value_of(append_records(*stream_, 1, {"a"}, ++lane_end_));
  open();
  EXPECT_TRUE(stream_->has_schema(schema_fingerprint(bfbs)));
  fill_segments(1, 2);
  EXPECT_EQ(read().unexplained, 0U);
  // Power is lost: the pages of this boot are gone, and a new segment begins.
  stream_.reset();
  std::filesystem::remove(options_.journal_page_path);
  open();
  EXPECT_TRUE(stream_->recovery().new_journal);
  value_of(append_records(*stream_, 1, {"b"}, ++lane_end_));
  const auto back = read();
  EXPECT_EQ(back.unexplained, 0U);
  EXPECT_EQ(back.schema_blocks, 4U);
}

TEST_F(SchemaStreamTest, OneThatDoesNotFitBesideTheLanesIsRefusedAndTheStreamGoesOn) {
  open();
  const auto large = schema_bytes(40'000, 1);
  declare(1, large);
  const auto added = stream_->add_schema(schema_fingerprint(large), large);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(added.error().message.find("segment_bytes"), std::string::npos);
  fill_segments(1, 2);
  EXPECT_EQ(read().schema_blocks, 0U);
}

TEST_F(SchemaStreamTest, ALaneNeverLosesItsPlaceInTheHeadToASchema) {
  open();
  const auto first = schema_bytes(10'000, 1);
  const auto second = schema_bytes(15'000, 2);
  declare(1, first);
  add(first);
  declare(2, second);
  add(second);
  std::uint64_t lanes = 2;
  while (stream_->declare_lane(testing::make_identity(lanes + 1), 0, 0, false)) ++lanes;
  EXPECT_EQ(lanes, (options_.segment_bytes / 2 - 128) / 640) << "as many as without schemas";
  EXPECT_EQ(stream_->schemas_left_out(), 2U);
  const auto before = read().records.size();
  fill_segments(lanes, 1);
  EXPECT_GT(read().records.size(), before);
  // Opened with the same head: what does not fit is left out again, and nothing is refused.
  open();
  EXPECT_EQ(stream_->lanes().size(), lanes);
}

}  // namespace
}  // namespace spillway::core
