// What a far end refused stays until a person has dealt with it: over power cuts, full files, rot, and
// two writers.
#include "spillway/core/dead_letters.h"

#include "core/format/checksum.h"
#include "spill_helpers.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

using testing::value_of;

constexpr const char* kStream = "/spill/telemetry";

DeadLetter letter(std::uint64_t offset, std::size_t bytes = 100) {
  DeadLetter made;
  made.journal = Uuid::from_random(7, 7);
  made.offset = offset;
  made.refused_utc_ns = 1'700'000'000'000'000'000 + offset;
  made.schema_fingerprint = 42;
  made.topic = "sensor/boiler/" + std::to_string(offset);
  made.reason = "the far end has no table for it";
  made.payload.assign(bytes, static_cast<std::byte>(offset));
  made.record_bytes = bytes;
  return made;
}

class DeadLettersTest : public ::testing::Test {
 protected:
  DeadLettersTest() { value_of(env_.make_directories(kStream)); }
  std::uint64_t append(const DeadLetter& one) { return value_of(dead_.append({&one, 1})); }

  env::SimEnv env_{1};
  DeadLetters dead_{env_, kStream, "cloud", 0};
};

TEST_F(DeadLettersTest, WhatIsAppendedIsReadBackWhole) {
  EXPECT_TRUE(value_of(dead_.load()).letters.empty());
  EXPECT_EQ(append(letter(5)), 1U);
  EXPECT_EQ(append(letter(9, 10'000)), 1U);
  const auto all = value_of(dead_.load());
  ASSERT_EQ(all.letters.size(), 2U);
  const DeadLetter& second = all.letters[1];
  EXPECT_EQ(second.number, 2U);
  EXPECT_EQ(second.offset, 9U);
  EXPECT_EQ(second.journal, letter(9).journal);
  EXPECT_EQ(second.topic, "sensor/boiler/9");
  EXPECT_EQ(second.reason, letter(9).reason);
  EXPECT_EQ(second.refused_utc_ns, letter(9).refused_utc_ns);
  EXPECT_EQ(second.schema_fingerprint, 42U);
  EXPECT_EQ(second.payload, letter(9, 10'000).payload);
  EXPECT_TRUE(second.whole());
  EXPECT_EQ(all.damaged_pages, 0U);
}

TEST_F(DeadLettersTest, ARecordThatIsRefusedAgainIsOneLetter) {
  const std::vector<DeadLetter> both{letter(5), letter(6), letter(5)};
  EXPECT_EQ(value_of(dead_.append(both)), 2U);
  EXPECT_EQ(append(letter(6)), 0U);
  EXPECT_EQ(value_of(dead_.load()).letters.size(), 2U);
}

TEST_F(DeadLettersTest, ADroppedOneIsGoneAndItsNumberIsNeverGivenAgain) {
  for (std::uint64_t offset = 1; offset <= 3; ++offset) append(letter(offset));
  const std::vector<std::uint64_t> numbers{2, 3, 77};
  EXPECT_EQ(value_of(dead_.drop(numbers)), 2U);
  append(letter(10));
  const auto all = value_of(dead_.load());
  ASSERT_EQ(all.letters.size(), 2U);
  EXPECT_EQ(all.letters[0].number, 1U);
  EXPECT_EQ(all.letters[1].number, 4U);
  EXPECT_EQ(all.taken_out, 2U);
}

TEST_F(DeadLettersTest, AFullFileRefusesTheNextAndKeepsAllThatItHas) {
  std::uint64_t kept = 0;
  Result<std::uint64_t> outcome;
  for (; outcome; ++kept) {
    const DeadLetter one = letter(kept, DeadLetters::kPayloadBytesMax / 2);
    outcome = dead_.append({&one, 1});
  }
  EXPECT_EQ(outcome.error().code, ErrorCode::kFull);
  EXPECT_EQ(value_of(dead_.load()).letters.size(), kept - 1);
  EXPECT_LE(value_of(dead_.load()).file_bytes, DeadLetters::kFileBytesMax);
  // There is room again once one is dropped.
  const std::vector<std::uint64_t> first{1};
  EXPECT_EQ(value_of(dead_.drop(first)), 1U);
  EXPECT_EQ(append(letter(kept, DeadLetters::kPayloadBytesMax / 2)), 1U);
}

TEST_F(DeadLettersTest, WhatIsTooLongIsCutAndSaysSo) {
  DeadLetter one = letter(1, DeadLetters::kPayloadBytesMax + 1);
  one.reason.assign(10'000, 'r');
  append(one);
  const auto all = value_of(dead_.load());
  EXPECT_EQ(all.letters[0].payload.size(), DeadLetters::kPayloadBytesMax);
  EXPECT_EQ(all.letters[0].record_bytes, DeadLetters::kPayloadBytesMax + 1);
  EXPECT_FALSE(all.letters[0].whole());
  EXPECT_EQ(all.letters[0].reason.size(), DeadLetters::kReasonBytesMax);
}

TEST_F(DeadLettersTest, WhileAnotherWritesItSaysBusyAndChangesNothing) {
  append(letter(1));
  auto lock = value_of(env_.open(dead_.path() + ".lock", env::OpenMode::kOpenOrCreate));
  ASSERT_TRUE(value_of(lock->try_lock()));
  const DeadLetter two = letter(2);
  EXPECT_EQ(dead_.append({&two, 1}).error().code, ErrorCode::kBusy);
  const std::vector<std::uint64_t> first{1};
  EXPECT_EQ(dead_.drop(first).error().code, ErrorCode::kBusy);
  EXPECT_EQ(value_of(dead_.load()).letters.size(), 1U);
  lock.reset();
  EXPECT_EQ(append(two), 1U);
}

TEST_F(DeadLettersTest, ANewerVersionIsNotTouched) {
  append(letter(1));
  format::DeadLetterHeader header;
  auto file = value_of(env_.open(dead_.path(), env::OpenMode::kReadWrite));
  value_of(file->read(0, writable_bytes_of(header)));
  header.mutate_version(kFormatVersion + 1);
  header.mutate_checksum(xxh3(bytes_of(header).subspan(8), 0));
  value_of(file->write(0, bytes_of(header)));
  EXPECT_EQ(dead_.load().error().code, ErrorCode::kNewerVersion);
  const DeadLetter two = letter(2);
  EXPECT_EQ(dead_.append({&two, 1}).error().code, ErrorCode::kNewerVersion);
}

TEST_F(DeadLettersTest, AnyFlippedBitOfALetterCostsThatLetterAlone) {
  for (std::uint64_t bit = 0; bit < 72 * 8 + 200; bit += 7) {
    env::SimEnv env(bit + 1);
    value_of(env.make_directories(kStream));
    DeadLetters dead(env, kStream, "cloud", 0);
    const std::vector<DeadLetter> three{letter(1), letter(2, 9000), letter(3)};
    value_of(dead.append(three));
    env.flip_bit(dead.path(), 2 * 4096 * 8 + bit);
    const auto all = value_of(dead.load());
    ASSERT_EQ(all.letters.size(), 2U) << "bit " << bit;
    EXPECT_EQ(all.letters[1].offset, 3U);
    EXPECT_EQ(all.damaged_pages, 3U);
  }
}

TEST_F(DeadLettersTest, APowerCutAtAnyStepKeepsWhatWasAppendedAndBringsBackNothingThatWasDropped) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t step = 0; step < 150; ++step) {
      env::SimEnv env(seed);
      value_of(env.make_directories(kStream));
      value_of(env.sync_directory("/spill"));
      DeadLetters dead(env, kStream, "cloud", 0);
      std::uint64_t appended = 0;
      std::uint64_t dropped = 0;
      std::uint64_t dropping = 0;
      env.cut_power_at(step);
      try {
        for (std::uint64_t i = 1; i <= 12; ++i) {
          const DeadLetter one = letter(i, 5000);
          value_of(dead.append({&one, 1}));
          appended = i;
          if (i % 4 != 0) continue;
          const std::vector<std::uint64_t> number{dropped + 1};
          dropping = number[0];
          value_of(dead.drop(number));
          dropped = number[0];
        }
      } catch (const env::PowerCut&) {
        SCOPED_TRACE("cut");
      }
      env.restart_after_power_cut();
      const auto all = value_of(dead.load());
      std::vector<bool> found(14);
      for (const DeadLetter& one : all.letters) {
        ASSERT_EQ(one.payload, letter(one.offset, 5000).payload);
        found[static_cast<std::size_t>(one.offset)] = true;
      }
      for (std::uint64_t i = 1; i <= appended; ++i) {
        const bool kept = found[static_cast<std::size_t>(i)];
        if (i <= dropped) {
          ASSERT_FALSE(kept) << "seed " << seed << " step " << step << " offset " << i;
        } else if (i != dropping) {
          ASSERT_TRUE(kept) << "seed " << seed << " step " << step << " offset " << i;
        }
      }
      // The one that was under way may be appended again: it is one letter.
      const DeadLetter again = letter(appended + 1, 5000);
      value_of(dead.append({&again, 1}));
      ASSERT_EQ(value_of(dead.append({&again, 1})), 0U);
    }
  }
}

TEST_F(DeadLettersTest, ADiskThatFailsAtAnyStepCostsNothingThatWasThere) {
  append(letter(1));
  const std::uint64_t first = env_.steps();
  bool done = false;
  for (std::uint64_t step = first; !done && step < first + 1000; ++step) {
    env_.fail_at(env_.steps() + (step - first) % 20, {ErrorCode::kFull, "no space left"});
    const DeadLetter two = letter(2);
    done = dead_.append({&two, 1}).has_value();
    env_.stop_failing();
    ASSERT_EQ(value_of(dead_.load()).letters[0].offset, 1U);
  }
  EXPECT_TRUE(done);
  append(letter(2));
  EXPECT_EQ(value_of(dead_.load()).letters.size(), 2U);
}

}  // namespace
}  // namespace spillway::core
