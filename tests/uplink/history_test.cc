// A machine that was set back to an older state and went on from it: found by the record below the
// consumer's position, though the gateway holds more than the consumer does.
#include <gtest/gtest.h>

#include "uplink/memory_inbox.h"
#include "uplink/session_pair.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

const core::Uuid kGateway = uuid_number(7);

class HistoryTest : public ::testing::Test {
 protected:
  HistoryTest() {
    for (int i = 0; i < 10; ++i) spill_.append(10);
  }
  bool deliver() {
    BlockSource* sources[] = {&spill_};
    SessionPair pair(UplinkSessionOptions{kGateway, "g", "u"}, sources, inbox_);
    const bool delivered = pair.run();
    error_ = pair.error();
    pause_ = pair.uplink().pause();
    refusals_ = 0;
    for (const Bytes& message : pair.sent()) {
      const auto decoded = decode(message);
      const auto* refusal = std::get_if<Refusal>(&*decoded);
      if (refusal != nullptr && refusal->code == RefusalCode::kRolledBack) ++refusals_;
    }
    return delivered;
  }
  std::size_t rows() { return inbox_.of(kGateway, spill_.newest_journal(), "one").rows.size(); }

  FakeSpill spill_{"one"};
  MemoryInbox inbox_;
  std::string error_;
  Pause pause_ = Pause::kNone;
  int refusals_ = 0;
};

TEST_F(HistoryTest, AMachineThatWasSetBackAndHasOvertakenTheConsumerIsRefused) {
  ASSERT_TRUE(deliver());
  spill_.set_back_to(60);
  for (int i = 0; i < 10; ++i) spill_.append(10);
  EXPECT_FALSE(deliver());
  EXPECT_NE(error_.find("record 99"), std::string::npos) << error_;
  EXPECT_NE(error_.find("journal"), std::string::npos) << error_;
  EXPECT_EQ(pause_, Pause::kLong);
  EXPECT_EQ(refusals_, 1);
  EXPECT_EQ(rows(), 100U);
}

TEST_F(HistoryTest, ANewJournalEndsTheTrouble) {
  ASSERT_TRUE(deliver());
  spill_.set_back_to(60);
  for (int i = 0; i < 10; ++i) spill_.append(10);
  ASSERT_FALSE(deliver());
  spill_.new_journal_at(60);
  for (int i = 0; i < 10; ++i) spill_.append(10);
  EXPECT_TRUE(deliver()) << error_;
  EXPECT_EQ(rows(), 100U);
}

TEST_F(HistoryTest, TheSameHistoryGoesOnHoweverItIsCutIntoBlocks) {
  ASSERT_TRUE(deliver());
  for (int i = 0; i < 3; ++i) spill_.append(7);
  EXPECT_TRUE(deliver()) << error_;
  spill_.roll();
  spill_.append(1);
  EXPECT_TRUE(deliver()) << error_;
  EXPECT_TRUE(deliver()) << error_;
  EXPECT_EQ(rows(), 122U);
}

TEST_F(HistoryTest, OfARecordThatIsNotHeldAnyMoreNothingIsSaid) {
  ASSERT_TRUE(deliver());
  spill_.roll();
  spill_.append(10);
  spill_.free_below(100);
  EXPECT_TRUE(deliver()) << error_;
  EXPECT_EQ(rows(), 110U);
}

TEST_F(HistoryTest, BehindAGapThereIsNoRecordToCompare) {
  spill_.punch(90, 100, format::GapReason::damage);
  ASSERT_TRUE(deliver());
  EXPECT_EQ(inbox_.of(kGateway, spill_.newest_journal(), "one").last_record, 0U);
  spill_.append(10);
  EXPECT_TRUE(deliver()) << error_;
  EXPECT_NE(inbox_.of(kGateway, spill_.newest_journal(), "one").last_record, 0U);
}

TEST(RecordChecksum, DiffersByOffsetTicksAndBytes) {
  const Bytes record(40, std::byte{1});
  Bytes other = record;
  other[39] = std::byte{2};
  const std::uint64_t one = core::record_checksum(5, 100, record);
  EXPECT_NE(one, core::record_checksum(6, 100, record));
  EXPECT_NE(one, core::record_checksum(5, 101, record));
  EXPECT_NE(one, core::record_checksum(5, 100, other));
  EXPECT_LT(one, 1ULL << 63);
}

}  // namespace
}  // namespace spillway::uplink::test
