// A relay between gateways and the consumer at the end, session by session on simulated machines: what
// comes out is what would have come without it, full or rolled back.
#include "core/codec_helpers.h"
#include "uplink/relay_world.h"

namespace spillway::uplink::test {
namespace {

TEST(RelayTest, RecordsOfSeveralGatewaysComeThroughUnderTheirOwnIdentity) {
  Relay relay(1);
  MemoryInbox end;
  Field one(7, "same");
  Field two(8, "same");
  for (int i = 0; i < 30; ++i) {
    one.spill.append(20);
    two.spill.append(7);
    if (i % 10 == 9) one.spill.roll();
  }
  one.ship(*relay.inbox);
  two.ship(*relay.inbox);
  EXPECT_EQ(one.spill.cursor()->next_offset, 600U);
  relay.drain(end, as_end());
  expect_records(end.of(one.gateway, one.spill.newest_journal(), "same"), "same", 0, 600);
  expect_records(end.of(two.gateway, two.spill.newest_journal(), "same"), "same", 0, 210);
  EXPECT_EQ(end.all().size(), 2U);
  EXPECT_EQ(end.doubled(), 0U);
}

TEST(RelayTest, ThreeHopsChangeNothing) {
  Relay first(1);
  Relay second(2);
  MemoryInbox end;
  MemoryInbox direct;
  Field field(7, "one");
  for (int i = 0; i < 30; ++i) {
    field.spill.append(20);
    field.ship(*first.inbox);
    first.drain(*second.inbox, as_relay());
    second.drain(end, as_end());
  }
  FakeSpill& spill = field.spill;
  BlockSource* sources[] = {&spill};
  SessionPair pair({field.gateway, "g", "other", 4U << 20}, sources, direct);
  ASSERT_TRUE(pair.run());
  const auto& relayed = end.of(field.gateway, spill.newest_journal(), "one");
  const auto& wanted = direct.of(field.gateway, spill.newest_journal(), "one");
  expect_records(relayed, "one", 0, 600);
  ASSERT_EQ(relayed.lanes.size(), wanted.lanes.size());
  for (const auto& [lane, totals] : wanted.lanes) {
    EXPECT_EQ(relayed.lanes.at(lane).records, totals.records);
    EXPECT_EQ(relayed.lanes.at(lane).lane_end, totals.lane_end);
    EXPECT_EQ(relayed.lanes.at(lane).lane->topic, totals.lane->topic);
  }
  for (const auto& [offset, row] : wanted.rows) {
    ASSERT_EQ(relayed.rows.at(offset).produced_at_ns, row.produced_at_ns);
  }
}

TEST(RelayTest, AGapOfTheFieldAndItsReasonComeThrough) {
  Relay relay(1);
  MemoryInbox end;
  Field field(7, "one");
  for (int i = 0; i < 10; ++i) field.spill.append(10);
  field.spill.punch(30, 50, format::GapReason::age);
  field.ship(*relay.inbox);
  relay.drain(end, as_end());
  const auto& contents = end.of(field.gateway, field.spill.newest_journal(), "one");
  EXPECT_EQ(contents.rows.size(), 80U);
  std::uint64_t missing = 0;
  for (const auto& gap : contents.gaps) {
    EXPECT_EQ(gap.reason, static_cast<std::uint8_t>(format::GapReason::age));
    missing += gap.next_offset - gap.first_offset;
  }
  EXPECT_EQ(missing, 20U);
  EXPECT_EQ(contents.next_offset, 100U);
}

TEST(RelayTest, WhatAFieldLostAfterItHadShippedItIsDeliveredAndItsNewJournalToo) {
  Relay relay(1);
  MemoryInbox end;
  Field field(7, "one");
  field.spill.append(60);
  field.spill.append(40);
  field.ship(*relay.inbox);
  const core::Uuid before = field.spill.newest_journal();
  field.spill.new_journal_at(60);  // its power was cut: [60, 100) is gone there, and safe here
  field.spill.append(10);
  field.ship(*relay.inbox);
  relay.drain(end, as_end());
  expect_records(end.of(field.gateway, before, "one"), "one", 0, 100);
  expect_records(end.of(field.gateway, field.spill.newest_journal(), "one"), "one", 60, 70);
  EXPECT_EQ(end.doubled(), 0U);
}

TEST(RelayTest, ANewJournalDuringTheRelaysSessionComesThroughHoweverBusyTheOthersAre) {
  Relay relay(1);
  MemoryInbox end;
  Field quiet(7, "quiet");
  Field busy(8, "busy");
  quiet.spill.append(10);
  busy.spill.append(10);
  quiet.ship(*relay.inbox);
  busy.ship(*relay.inbox);
  auto pair = relay.session(end, as_end());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(pair->step() || i > 10);
  const core::Uuid before = quiet.spill.newest_journal();
  quiet.spill.new_journal_at(5);
  quiet.spill.append(10);
  quiet.ship(*relay.inbox);
  bool ended = false;
  for (int round = 0; round < 50 && !ended; ++round) {
    busy.spill.append(50);  // it never has nothing to send
    busy.ship(*relay.inbox);
    for (int i = 0; i < 10; ++i) pair->step();
    ended = pair->uplink().state() == UplinkState::kClosed;
  }
  EXPECT_TRUE(ended) << "the busy stream's messages keep the session from beginning anew";
  EXPECT_EQ(pair->uplink().pause(), Pause::kNone);
  pair.reset();
  relay.drain(end, as_end());
  expect_records(end.of(quiet.gateway, before, "quiet"), "quiet", 0, 10);
  expect_records(end.of(quiet.gateway, quiet.spill.newest_journal(), "quiet"), "quiet", 5, 15);
  expect_records(end.of(busy.gateway, busy.spill.newest_journal(), "busy"), "busy", 0,
                 busy.spill.next_offset());
}

TEST(RelayTest, OnlyWhoIsARelayHereMayBringStreamsOfOthers) {
  Relay relay(1);
  MemoryInbox end;
  Field field(7, "one");
  field.spill.append(10);
  field.ship(*relay.inbox);
  const auto pair = relay.session(end, ConsumerSessionOptions{});
  EXPECT_FALSE(pair->run());
  EXPECT_NE(pair->error().find("relays in [consumer]"), std::string::npos) << pair->error();
  EXPECT_EQ(pair->uplink().pause(), Pause::kLong) << "a person has to allow it";
  EXPECT_TRUE(end.all().empty());
  relay.drain(end, as_end());
  expect_records(end.of(field.gateway, field.spill.newest_journal(), "one"), "one", 0, 10);
}

TEST(RelayTest, AStreamWhoseNameWouldLeadOutOfTheDirectoryIsRefused) {
  Relay relay(1);
  for (const std::string name : {"../x", "a/b", "", ".", "UPPER"}) {
    const auto outcome = relay.inbox->position({uuid_number(7), uuid_number(8), name});
    EXPECT_FALSE(outcome) << name;
  }
  EXPECT_TRUE(value_of(core::list_foreign_streams(relay.env, kDirectory)).empty());
}

TEST(RelayTest, AFullRelayKeepsWhatItHasAndTheFieldKeepsTheRest) {
  Relay relay(1);
  relay.options.stream_bytes = 4 * core::kForeignSegmentBytesMin;
  relay.open();
  MemoryInbox end;
  Field field(7, "one");
  for (int i = 0; i < 100; ++i) field.spill.append(500);
  EXPECT_FALSE(field.session(*relay.inbox)->run()) << "it is asked to come back";
  const std::uint64_t taken = field.spill.cursor()->next_offset;
  EXPECT_GT(taken, 0U);
  EXPECT_LT(taken, field.spill.next_offset());
  for (int round = 0; round < 100 && field.spill.cursor()->next_offset < field.spill.next_offset();
       ++round) {
    relay.drain(end, as_end());
    value_of(relay.sources[0]->sync_cursor());
    relay.inbox->upkeep();
    static_cast<void>(field.session(*relay.inbox)->run());
  }
  relay.drain(end, as_end());
  const auto& contents = end.of(field.gateway, field.spill.newest_journal(), "one");
  expect_records(contents, "one", 0, 50'000);
  EXPECT_TRUE(contents.gaps.empty());
}

TEST(RelayTest, WhatARelayDropsByChoiceComesAsExactGapsAndTheSmallStreamLosesNothing) {
  Relay relay(1);
  relay.options.when_full = core::WhenFull::kDropOldest;
  relay.options.max_bytes = 8 * core::kForeignSegmentBytesMin;
  relay.open();
  MemoryInbox end;
  Field large(7, "large");
  Field small(8, "small");
  small.spill.append(10);
  small.ship(*relay.inbox);
  for (int i = 0; i < 100; ++i) large.spill.append(500);
  large.ship(*relay.inbox);
  EXPECT_LE(relay.inbox->totals().held_bytes, relay.options.max_bytes);
  relay.drain(end, as_end());
  expect_records(end.of(small.gateway, small.spill.newest_journal(), "small"), "small", 0, 10);
  const auto& contents = end.of(large.gateway, large.spill.newest_journal(), "large");
  std::uint64_t missing = 0;
  for (const auto& gap : contents.gaps) {
    EXPECT_EQ(gap.reason, static_cast<std::uint8_t>(format::GapReason::quota));
    missing += gap.next_offset - gap.first_offset;
  }
  EXPECT_GT(missing, 0U);
  EXPECT_EQ(missing, relay.inbox->totals().dropped_records);
  EXPECT_EQ(contents.rows.size() + missing, 50'000U);
}

TEST(RelayTest, ARelayThatWasRolledBackGoesOnWhereItsFarEndStands) {
  Relay old(1);
  Relay now(2);
  MemoryInbox end;
  Field field(7, "one");
  field.spill.append(50);
  field.ship(*old.inbox);
  field.spill.append(50);
  field.ship(*now.inbox);
  now.drain(end, as_end());
  // A backup of the relay is restored: it holds less of the journal than the far end does.
  field.spill.append(50);
  old.drain(end, as_end());
  field.ship(*old.inbox);
  old.drain(end, as_end());
  const auto& contents = end.of(field.gateway, field.spill.newest_journal(), "one");
  expect_records(contents, "one", 0, 150);
  EXPECT_TRUE(contents.gaps.empty());
}

TEST(RelayTest, OneSessionBringsMoreGatewaysThanAnyFieldHasStreams) {
  constexpr std::uint64_t kGateways = 260;
  Relay relay(1);
  MemoryInbox end;
  for (std::uint64_t number = 1; number <= kGateways; ++number) {
    Field field(number, "one");
    field.spill.append(3);
    field.ship(*relay.inbox);
  }
  const auto pair = relay.session(end, as_end());
  ASSERT_TRUE(pair->run()) << pair->error();
  EXPECT_EQ(pair->uplink().left_out(), 0U);
  ASSERT_EQ(end.all().size(), kGateways);
  for (const auto& [key, contents] : end.all()) expect_records(contents, "one", 0, 3);
}

/// A gateway's stream with many journals behind a relay, of which only Hello is asked.
class ManyJournals final : public BlockSource {
 public:
  ManyJournals(std::uint64_t number, std::size_t journals)
      : origin_{uuid_number(number), std::string(200, 'n')}, journals_(journals) {}

  const std::string& name() const override { return name_; }
  const Origin* origin() const override { return &origin_; }
  core::Result<std::vector<core::JournalRange>> journals() override {
    std::vector<core::JournalRange> ranges;
    for (std::uint64_t i = 0; i < journals_; ++i) ranges.push_back({uuid_number(i), i, i, i + 1});
    return ranges;
  }
  core::Result<std::uint64_t> oldest_offset() override { return std::uint64_t{0}; }
  core::Result<void> seek(std::uint64_t /*offset*/) override { return {}; }
  void offer_stored(bool /*stored*/) override {}
  core::Result<std::optional<core::StreamItem>> next() override {
    return std::optional<core::StreamItem>();
  }
  const std::optional<core::CursorPosition>& cursor() const override { return cursor_; }
  core::Result<void> acknowledge(const core::CursorPosition& /*position*/) override { return {}; }
  core::Result<void> refuse(const Ack& /*ack*/) override { return {}; }

 private:
  std::string name_ = "one";
  Origin origin_;
  std::size_t journals_;
  std::optional<core::CursorPosition> cursor_;
};

TEST(RelayTest, AHelloStaysWithinItsBoundsAndLeavesTheLastStreamsToTheNextSession) {
  for (const std::size_t journals : {std::size_t{1}, std::size_t{5}}) {
    std::vector<std::unique_ptr<ManyJournals>> streams;
    std::vector<BlockSource*> sources;
    for (std::uint64_t number = 1; number <= kStreamsMax; ++number) {
      streams.push_back(std::make_unique<ManyJournals>(number, journals));
      sources.push_back(streams.back().get());
    }
    UplinkSession session({uuid_number(9), "relay", "cloud"}, sources);
    const Bytes message = value_of(session.on_open(1));
    EXPECT_LE(message.size(), kControlBytesMax);
    const auto hello = std::get<Hello>(value_of(decode(message)));
    EXPECT_EQ(hello.streams.size() + session.left_out(), kStreamsMax);
    EXPECT_EQ(hello.streams.size(), session.streams().size());
    EXPECT_EQ(session.left_out() != 0, journals == 5) << session.left_out();
  }
}

TEST(RelayTest, CompressedBlocksComeThroughAsTheyAreStored) {
  core::env::SimEnv env(1);
  core::StreamOptions options;
  options.name = "one";
  options.directory = "/spill/one";
  options.journal_page_path = "/run/journal/one";
  options.segment_bytes = 64 * 1024;
  options.max_bytes = 8 << 20;
  options.compress = core::Compress::kAlways;
  const auto stream = value_of(core::Stream::open(env, options));
  value_of(stream->declare_lane(core::testing::make_identity(1), 0, 0, false));
  Relay relay(1);
  MemoryInbox end;
  std::uint64_t lane_end = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::string> batch;
    batch.reserve(4);
    for (int n = 0; n < 4; ++n) {
      batch.push_back(core::testing::sensor_record(stream->next_offset() + n));
    }
    value_of(core::testing::append_records(*stream, 1, batch, ++lane_end));
    if (auto order = stream->order_training()) stream->finish_training(*order, order->run());
  }
  const auto source = value_of(StreamSource::open(env, "/spill", "one", "site"));
  BlockSource* sources[] = {source.get()};
  SessionPair pair({uuid_number(7), "g", "site", 4U << 20}, sources, *relay.inbox, as_relay());
  ASSERT_TRUE(pair.run()) << pair.error();
  ASSERT_GT(stream->compression().compressed_blocks, 1000U);
  EXPECT_LT(relay.inbox->totals().held_bytes, stream->compression().raw_bytes);
  relay.drain(end, as_end());
  const auto& contents = end.of(uuid_number(7), stream->journal(), "one");
  ASSERT_EQ(contents.rows.size(), stream->next_offset());
  for (const auto& [offset, row] : contents.rows) {
    ASSERT_EQ(row.payload, core::testing::sensor_record(offset));
  }
}

}  // namespace
}  // namespace spillway::uplink::test
