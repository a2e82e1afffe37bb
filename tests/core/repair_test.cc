// verify --repair on the simulated machine: what it brings back, what it writes down, and that it
// may be cut off anywhere.
#include "spillway/core/repair.h"

#include "repair_fixture.h"
#include "spillway/core/cursor.h"

namespace spillway::core {
namespace {

using testing::DamagedStream;
using testing::Image;
using testing::ReadBack;
using testing::value_of;

constexpr std::uint64_t kHeadBytes = 4096 + 128;  // the segment's header and the clock block
constexpr std::uint64_t kLaneBytes = 640;
/// In a journal's first segment: the head was synced before any lane came.
constexpr std::uint64_t kFirstLaneAt = 2 * kPageBytes;
constexpr std::uint64_t kFirstDataAt = kHeadBytes + 3 * kLaneBytes;

class RepairTest : public ::testing::Test {
 protected:
  RepairTest() {
    world_.fill(300);
    segments_ = world_.segments();
    base_ =
        value_of(verify_stream(world_.env(), world_.options().directory)).segments[1].base_offset;
  }
  /// Repairs, and expects that all is well then.
  RepairReport repair(RepairOptions options = {}) {
    RepairReport report = world_.repair(options);
    EXPECT_FALSE(report.before.ok());
    EXPECT_TRUE(report.after.ok());
    const Image once = world_.image();
    EXPECT_TRUE(world_.repair(options).segments.empty()) << "it changes nothing the second time";
    EXPECT_EQ(world_.image(), once);
    world_.expect_exact(world_.read());
    return report;
  }

  DamagedStream world_;
  std::vector<std::string> segments_;
  std::uint64_t base_ = 0;  // of the second segment
};

TEST_F(RepairTest, AWholeSpillIsLeftAlone) {
  const Image before = world_.image();
  const RepairReport report = world_.repair();
  EXPECT_TRUE(report.before.ok());
  EXPECT_TRUE(report.segments.empty());
  EXPECT_EQ(world_.image(), before);
}

TEST_F(RepairTest, RecordsBehindADamageComeBackAndTheGapIsExact) {
  ASSERT_GE(segments_.size(), 5U);
  world_.destroy(segments_[1], kFirstDataAt + 70, 200);  // in the first data block
  world_.destroy(segments_[1], 30000, 3000);
  ASSERT_GT(world_.read().gaps.at(0).count(), 20U) << "the rest of the segment is lost before";
  const RepairReport report = repair();
  ASSERT_EQ(report.segments.size(), 1U);
  const RepairedSegment& repaired = report.segments[0];
  EXPECT_TRUE(repaired.rewritten);
  EXPECT_GT(repaired.records_salvaged, 20U);
  ASSERT_EQ(repaired.lost.size(), 2U);
  EXPECT_EQ(repaired.lost[0].first_offset, base_) << "a gap at the segment's beginning";
  EXPECT_EQ(repaired.kept_as, segments_[1] + ".damaged");
  EXPECT_TRUE(value_of(world_.env().exists(repaired.kept_as)));
  const ReadBack back = world_.read();
  ASSERT_EQ(back.gaps.size(), 2U);
  EXPECT_LE(back.gaps[0].count(), 3U) << "one block";
  EXPECT_LE(back.gaps[1].count(), 9U);
  EXPECT_EQ(back.records.size() + back.gaps[0].count() + back.gaps[1].count(),
            world_.truth().size());
}

TEST_F(RepairTest, OneFlippedBitOfABlockIsHealedAndNothingIsLost) {
  world_.env().flip_bit(segments_[2], 8 * (kFirstDataAt + 300) + 3);  // a record's byte
  world_.env().flip_bit(segments_[3], 8 * (kFirstDataAt + 8));        // its stored size
  world_.env().flip_bit(segments_[3], 8 * 40 + 1);                    // the segment's header
  const RepairReport report = repair();
  EXPECT_EQ(report.segments.size(), 2U);
  EXPECT_EQ(world_.read().records, world_.truth());
  EXPECT_TRUE(world_.read().gaps.empty());
}

TEST_F(RepairTest, DataWhoseLaneDeclarationIsLostIsReadableAgain) {
  world_.destroy(segments_[2], kHeadBytes + 10, 2 * kLaneBytes);
  world_.destroy(segments_[0], kFirstLaneAt + 10, 20);  // only behind is it declared
  repair();
  EXPECT_EQ(world_.read().records, world_.truth());
}

TEST_F(RepairTest, AHeaderThatCannotBeHealedCostsItsSegmentAlone) {
  world_.destroy(segments_[2], 0, 512);
  const auto limits = world_.verify().segments;
  const RepairReport report = repair();
  ASSERT_EQ(report.segments.size(), 1U);
  EXPECT_FALSE(report.segments[0].rewritten);
  ASSERT_EQ(report.segments[0].lost.size(), 1U);
  EXPECT_EQ(report.segments[0].lost[0].first_offset, limits[2].base_offset);
  EXPECT_EQ(report.segments[0].lost[0].next_offset, limits[3].base_offset);
}

TEST_F(RepairTest, ADestroyedHeaderOfTheNewestIsSetAsideAndItsOffsetsAreNeverUsedAgain) {
  world_.destroy(segments_.back(), 16, 496);  // the journal, too
  repair();
  EXPECT_EQ(world_.segments().size(), segments_.size() - 1);
  const std::uint64_t base = world_.read().position;
  auto stream = value_of(Stream::open(world_.env(), world_.options()));
  EXPECT_GE(stream->next_offset(), base);
}

TEST_F(RepairTest, TheEndOfTheNewestSegmentIsWrittenDownAsFarAsItIsKnown) {
  const std::uint64_t all = world_.truth().size();
  const SegmentReport newest = world_.verify().segments.back();
  world_.destroy(newest.path, newest.used_bytes - 400, 300);  // its last block
  repair();
  ReadBack back = world_.read();
  EXPECT_EQ(back.position, all) << "the control page says what was power-safe";
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_LE(back.gaps[0].count(), 3U);
  auto stream = value_of(Stream::open(world_.env(), world_.options()));
  EXPECT_EQ(stream->next_offset(), all);
  value_of(testing::append_records(*stream, 1, {"goes on"}));
  back = world_.read();
  EXPECT_EQ(back.records.at(all), "goes on");
}

TEST_F(RepairTest, AReaderMayBeginInsideAGap) {
  world_.destroy(segments_[1], 30000, 3000);
  repair();
  const Gap gap = world_.read().gaps.at(0);
  const ReadBack back =
      testing::read_all(world_.env(), world_.options().directory, gap.first_offset + 1);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].first_offset, gap.first_offset + 1);
  EXPECT_EQ(back.gaps[0].next_offset, gap.next_offset);
  EXPECT_EQ(back.records.size(), world_.truth().size() - gap.next_offset);
}

TEST_F(RepairTest, DamagedFilesAreRemovedIfAsked) {
  world_.destroy(segments_[1], 30000, 3000);
  const RepairReport report = repair({true});
  EXPECT_EQ(report.segments.at(0).kept_as, "");
  for (const auto& [name, bytes] : world_.image()) EXPECT_TRUE(name.ends_with(".spill")) << name;
}

TEST_F(RepairTest, ItRefusesWhileAnAgentOrAnUplinkRunsByTheNameOfTheLock) {
  world_.destroy(segments_[1], 30000, 3000);
  auto stream = value_of(Stream::open(world_.env(), world_.options()));
  const auto agent = repair_stream(world_.env(), world_.options().directory, {});
  ASSERT_FALSE(agent);
  EXPECT_EQ(agent.error().code, ErrorCode::kBusy);
  EXPECT_NE(agent.error().message.find("/spill/test/lock"), std::string::npos);
  stream.reset();
  auto cursor = value_of(Cursor::open(world_.env(), world_.options().directory + "/cursors/cloud"));
  const auto uplink = repair_stream(world_.env(), world_.options().directory, {});
  ASSERT_FALSE(uplink);
  EXPECT_NE(uplink.error().message.find("cursors/cloud"), std::string::npos);
  cursor.reset();
  EXPECT_TRUE(repair_stream(world_.env(), world_.options().directory, {}));
}

TEST_F(RepairTest, AFullDiskIsAnErrorAndNothingIsWorse) {
  world_.destroy(segments_[1], 30000, 3000);
  const ReadBack before = world_.read();
  world_.env().set_capacity_bytes(0);
  const auto refused = repair_stream(world_.env(), world_.options().directory, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFull);
  EXPECT_EQ(world_.read().records, before.records);
  world_.env().set_capacity_bytes(std::numeric_limits<std::uint64_t>::max());
  repair();
}

TEST_F(RepairTest, ANewerSpillIsRefusedUntouched) {
  auto file = value_of(world_.env().open(segments_.back(), env::OpenMode::kReadWrite));
  format::SegmentHeader header;
  value_of(file->read(0, writable_bytes_of(header)));
  header.mutate_version(kFormatVersion + 1);
  seal_segment_header(header);
  value_of(file->write(0, bytes_of(header)));
  const Image before = world_.image();
  const auto refused = repair_stream(world_.env(), world_.options().directory, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNewerVersion);
  EXPECT_EQ(world_.image(), before);
}

/// A spill with every kind of damage at once; the same for the same seed.
void break_it(DamagedStream& world, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto segments = world.segments();
  for (const std::string& path : segments) {
    const std::uint64_t kind = random() % 6;
    if (kind == 0) world.destroy(path, random() % 4096, 300);
    if (kind == 1) world.env().flip_bit(path, random() % (256 * 8));
    if (kind == 2 || kind == 5) world.destroy(path, 4096 + random() % 50000, 1 + random() % 4000);
    if (kind == 3) world.destroy(path, kHeadBytes + random() % 2000, 1 + random() % 700);
    if (kind == 4) world.env().flip_bit(path, 8 * (4096 + random() % 50000));
    if (kind == 5) world.destroy(path, 4096 + random() % 50000, 64);
  }
}

TEST(RepairAnything, WhateverIsBrokenWhatIsReadableIsTrueAndTheRestIsNamed) {
  for (std::uint64_t seed = 1; seed <= 150 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    DamagedStream world(seed);
    world.fill(250);
    break_it(world, seed);
    const ReadBack before = world.read();
    world.expect_exact(before);
    const RepairReport report = world.repair();
    EXPECT_TRUE(report.after.ok());
    const ReadBack after = world.read();
    world.expect_exact(after);
    for (const auto& [offset, record] : before.records) EXPECT_TRUE(after.records.contains(offset));
    EXPECT_GE(after.position, before.position);
    const Image once = world.image();
    EXPECT_TRUE(world.repair().segments.empty());
    EXPECT_EQ(world.image(), once);
    // And an agent starts on it.
    auto stream = Stream::open(world.env(), world.options());
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_GE((*stream)->next_offset(), after.position);
    world.expect_exact(world.read());
  }
}

/// The steps of one repair, counted from its beginning.
std::uint64_t steps_of_repair(std::uint64_t seed, Image& end) {
  DamagedStream world(seed);
  world.fill(200);
  break_it(world, seed);
  const std::uint64_t begin = world.env().steps();
  EXPECT_TRUE(world.repair().after.ok());
  const std::uint64_t steps = world.env().steps() - begin;
  end = world.image();
  return steps;
}

TEST(RepairPowerCut, CutOffAtAnyStepAndRunAgainTheEndIsTheSame) {
  std::uint64_t cuts = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Image end;
    const std::uint64_t steps = steps_of_repair(seed, end);
    for (std::uint64_t step = 0; step < steps && !::testing::Test::HasFailure(); ++step, ++cuts) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", power cut at step " + std::to_string(step));
      DamagedStream world(seed);
      world.fill(200);
      break_it(world, seed);
      const ReadBack before = world.read();
      // What the cut makes of the sectors differs from step to step.
      for (std::uint64_t i = 0; i < step; ++i) static_cast<void>(world.env().random_u64());
      world.env().cut_power_at(world.env().steps() + step);
      EXPECT_THROW(static_cast<void>(world.repair()), env::PowerCut);
      world.env().restart_after_power_cut();
      const ReadBack between = world.read();
      world.expect_exact(between);
      for (const auto& [offset, record] : before.records) {
        EXPECT_TRUE(between.records.contains(offset)) << "offset " << offset << " is gone";
      }
      EXPECT_TRUE(world.repair().after.ok());
      EXPECT_TRUE(world.image() == end) << "another end";
    }
  }
  std::printf("[ steps    ] %llu power cuts\n", static_cast<unsigned long long>(cuts));
}

TEST(RepairPowerCut, AnAgentStartsOnWhatAnyCutLeft) {
  const std::uint64_t seed = 3;
  Image end;
  const std::uint64_t steps = steps_of_repair(seed, end);
  for (std::uint64_t step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
    SCOPED_TRACE("power cut at step " + std::to_string(step));
    DamagedStream world(seed);
    world.fill(200);
    break_it(world, seed);
    world.env().cut_power_at(world.env().steps() + step);
    EXPECT_THROW(static_cast<void>(world.repair()), env::PowerCut);
    world.env().restart_after_power_cut();
    auto stream = Stream::open(world.env(), world.options());
    ASSERT_TRUE(stream) << stream.error().message;
    const std::uint64_t next = (*stream)->next_offset();
    EXPECT_GE(next, world.truth().size()) << "an offset would name two records";
    value_of((*stream)->declare_lane(testing::make_identity(1), 0, 0, false));
    value_of(testing::append_records(**stream, 1, {"new"}));
    stream->reset();
    EXPECT_TRUE(world.repair().after.ok());
    EXPECT_EQ(world.read().records.at(next), "new");
  }
}

}  // namespace
}  // namespace spillway::core
