// What comes from an engine: envelopes and payloads that anybody who may write into it can have made.
#include "uplink/consumer/sources/broker_intake.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "uplink/consumer/sources/settle_queue.h"
#include "uplink/memory_inbox.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {
namespace {

using consumer::BrokerIntake;
using consumer::InboxBatch;

/// The headers of a message, as an engine keeps them.
class Headers {
 public:
  explicit Headers(const Envelope& envelope) {
    for (auto& [name, value] : write_envelope(envelope)) values_[std::string(name)] = value;
  }
  Headers& set(const std::string& name, const std::string& value) {
    values_[name] = value;
    return *this;
  }
  void drop(const std::string& name) { values_.erase(name); }
  [[nodiscard]] HeaderLookup lookup() const {
    return [this](std::string_view name) -> std::optional<std::string_view> {
      const auto found = values_.find(std::string(name));
      if (found == values_.end()) return std::nullopt;
      return found->second;
    };
  }
  [[nodiscard]] const std::map<std::string, std::string>& values() const { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

Envelope record(std::uint64_t offset) {
  Envelope envelope;
  envelope.gateway = uuid_number(1);
  envelope.gateway_name = "site/pump";
  envelope.journal = uuid_number(2);
  envelope.stream = "one";
  envelope.offset = offset;
  envelope.lane = 0xAB;
  envelope.topic = "a/b";
  envelope.producer = "maker";
  envelope.boot = uuid_number(3);
  envelope.utc_ns = 1000 + offset;
  envelope.boottime_ns = 10 + offset;
  return envelope;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

core::Result<void> put(BrokerIntake& intake, const Headers& headers, const std::string& payload) {
  const auto lookup = headers.lookup();
  auto envelope = BrokerIntake::read(lookup);
  if (!envelope) return tl::unexpected(envelope.error());
  return intake.accept(*envelope, bytes_of(payload));
}

void store_all(MemoryInbox& inbox, const std::vector<InboxBatch>& batches) {
  std::vector<core::Result<void>> outcomes;
  inbox.commit(batches, outcomes);
  for (const auto& outcome : outcomes) EXPECT_TRUE(outcome);
}

TEST(BrokerIntake, RecordsOfManyGatewaysBecomeOneBatchEachInTheirRuns) {
  BrokerIntake intake({});
  for (std::uint64_t offset = 0; offset < 100; ++offset) {
    for (std::uint64_t gateway = 1; gateway <= 3; ++gateway) {
      Envelope envelope = record(offset);
      envelope.gateway = uuid_number(gateway);
      ASSERT_TRUE(put(intake, Headers(envelope), std::to_string(offset)));
    }
  }
  const auto batches = intake.take(5);
  ASSERT_EQ(batches.size(), 3U);
  for (const InboxBatch& batch : batches) {
    EXPECT_TRUE(batch.loose);
    ASSERT_EQ(batch.runs.size(), 1U);
    EXPECT_EQ(batch.runs[0].count, 100U);
    EXPECT_EQ(batch.received_at_ns, 5U);
  }
  EXPECT_TRUE(intake.is_empty());
  MemoryInbox inbox;
  store_all(inbox, batches);
  const auto& contents = inbox.of(uuid_number(2), uuid_number(2), "one");
  EXPECT_EQ(contents.next_offset, 100U);
  EXPECT_EQ(contents.rows.at(42).payload, "42");
}

TEST(BrokerIntake, AHeaderThatIsMissingOrImpossibleRefusesTheMessageAndNothingElse) {
  BrokerIntake intake({});
  const std::map<std::string, std::vector<std::string>> wrong{
      {"spillway-kind", {"", "rekord"}},
      {"spillway-gateway", {"", "7", "00000000-0000-0000-0000-000000000000"}},
      {"spillway-journal", {"", "x", "00000000-0000-0000-0000-000000000000"}},
      {"spillway-journal-first", {"", "-1", "8", "99999999999999999999"}},
      {"spillway-stream", {"", "a\nb", std::string(256, 's'), "\xFF"}},
      {"spillway-offset", {"", "7x", "4611686018427387904"}},
      {"spillway-lane", {"", "0x1"}},
      {"spillway-topic", {"", "a/#", "+", std::string(256, 't'), std::string("a\0b", 3)}},
      {"spillway-producer", {std::string(64, 'p'), "a\rb"}},
      {"spillway-boot", {"later"}},
      {"spillway-gateway-name", {std::string(256, 'g'), "\x1b[2J"}},
      {"spillway-time", {"-5", "4611686018427387904"}},
      {"spillway-boottime", {"soon", "4611686018427387904"}},
  };
  for (const auto& [name, values] : wrong) {
    for (const std::string& value : values) {
      Headers headers(record(7));
      headers.set(name, value);
      EXPECT_FALSE(put(intake, headers, "x")) << name << " = " << value;
    }
  }
  for (const char* name :
       {"spillway-kind", "spillway-gateway", "spillway-journal", "spillway-journal-first",
        "spillway-stream", "spillway-offset", "spillway-lane", "spillway-topic"}) {
    Headers headers(record(7));
    headers.drop(name);
    EXPECT_FALSE(put(intake, headers, "x")) << name;
  }
  EXPECT_TRUE(intake.is_empty());
  EXPECT_TRUE(intake.take(1).empty());
  EXPECT_TRUE(put(intake, Headers(record(7)), "x"));
}

TEST(BrokerIntake, GapsLanesClocksAndSchemasReachTheirTables) {
  BrokerIntake intake({});
  Envelope gap = record(10);
  gap.kind = EnvelopeKind::kGap;
  gap.next_offset = 20;
  gap.reason = 1;
  Envelope lane = record(0);
  lane.kind = EnvelopeKind::kLane;
  lane.lane_end = 640;
  lane.rejected = 3;
  lane.closed = true;
  Envelope clock = record(0);
  clock.kind = EnvelopeKind::kClock;
  clock.utc_ns = 77;
  for (const Envelope& envelope : {gap, lane, clock}) {
    ASSERT_TRUE(put(intake, Headers(envelope), ""));
  }
  const auto batches = intake.take(5);
  ASSERT_EQ(batches.size(), 1U);
  EXPECT_EQ(batches[0].gaps[0].next_offset, 20U);
  EXPECT_EQ(batches[0].clocks[0].utc_ns, 77U);
  EXPECT_EQ(batches[0].lanes.back().lane_end, 640U);
  EXPECT_TRUE(batches[0].lanes.back().closed);
  Envelope schema = record(0);
  schema.kind = EnvelopeKind::kSchema;
  schema.schema = 0x4D;
  EXPECT_FALSE(put(intake, Headers(schema), "no schema at all"));
  EXPECT_TRUE(intake.is_empty());
}

TEST(BrokerIntake, ARecordThatIsTooLargeIsKeptDeadAndCut) {
  BrokerIntake intake({.max_record_bytes = 4, .verify_schema = false});
  ASSERT_TRUE(put(intake, Headers(record(0)), "1234"));
  ASSERT_TRUE(put(intake, Headers(record(1)), "12345"));
  const auto batches = intake.take(5);
  ASSERT_EQ(batches[0].dead.size(), 1U);
  EXPECT_EQ(batches[0].dead[0].offset, 1U);
  EXPECT_EQ(batches[0].dead[0].record_bytes, 5U);
  EXPECT_EQ(batches[0].records[1].payload.size(), 4U);
}

TEST(BrokerIntake, AGroupIsFullAtItsBytesAndItsMessages) {
  BrokerIntake intake({});
  std::uint64_t offset = 0;
  while (!intake.is_full()) {
    ASSERT_TRUE(put(intake, Headers(record(offset++)), std::string(1 << 20, 'x')));
  }
  EXPECT_LE(offset, 4U);
  static_cast<void>(intake.take(1));
  for (offset = 0; !intake.is_full(); ++offset) {
    ASSERT_TRUE(put(intake, Headers(record(offset)), ""));
  }
  EXPECT_EQ(offset, BrokerIntake::kGroupMessagesMax);
}

TEST(BrokerIntake, BlocksOfTheNativeWireAreCheckedAndStoredLoose) {
  constexpr std::uint64_t kSalt = 0x5A17;
  std::string payload;
  for (const OwnedBlock& block :
       {make_lane_block(0xAB, "a/b", 0, kSalt), make_clock_block(0, kSalt),
        make_data_block("one", 0xAB, 0, 30, kSalt)}) {
    payload.append(reinterpret_cast<const char*>(&block.header), sizeof(block.header));
    payload.append(reinterpret_cast<const char*>(block.stored.data()), block.stored.size());
  }
  Envelope envelope = record(0);
  envelope.kind = EnvelopeKind::kBlocks;
  envelope.next_offset = 30;
  envelope.salt = kSalt;
  BrokerIntake intake({});
  ASSERT_TRUE(put(intake, Headers(envelope), payload));
  MemoryInbox inbox;
  store_all(inbox, intake.take(5));
  EXPECT_EQ(inbox.of(uuid_number(1), uuid_number(2), "one").rows.size(), 30U);
  // One bit, another salt, another range, or less: the whole message is refused.
  std::mt19937_64 random(7);
  for (int i = 0; i < 200; ++i) {
    std::string bad = payload;
    bad[random() % bad.size()] ^= static_cast<char>(1U << (random() % 8));
    EXPECT_FALSE(put(intake, Headers(envelope), bad));
  }
  EXPECT_FALSE(put(intake, Headers(envelope), payload.substr(0, payload.size() - 1)));
  EXPECT_FALSE(put(intake, Headers(envelope).set("spillway-salt", "1"), payload));
  EXPECT_FALSE(put(intake, Headers(envelope).set("spillway-next-offset", "29"), payload));
  EXPECT_FALSE(put(intake, Headers(envelope).set("spillway-next-offset", "31"), payload));
  EXPECT_TRUE(intake.is_empty());
}

TEST(BrokerIntake, RandomHeadersAndPayloadsNeverBreakIt) {
  std::mt19937_64 random(11);
  BrokerIntake intake({.max_record_bytes = 100, .verify_schema = true});
  std::uint64_t taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    Envelope envelope = record(random() % 50);
    envelope.kind = static_cast<EnvelopeKind>(random() % 6);
    envelope.next_offset = envelope.offset + random() % 20;
    envelope.schema = random() % 3;
    Headers headers(envelope);
    for (std::uint64_t left = random() % 3; left > 0; --left) {
      auto at = headers.values().begin();
      std::advance(at, random() % headers.values().size());
      std::string value = at->second;
      if (!value.empty()) value[random() % value.size()] = static_cast<char>(random());
      headers.set(at->first, value);
    }
    std::string payload(random() % 200, '\0');
    for (char& byte : payload) byte = static_cast<char>(random());
    if (put(intake, headers, payload)) ++taken;
    if (intake.is_full()) static_cast<void>(intake.take(1));
  }
  EXPECT_GT(taken, 1000U);
}

TEST(SettleQueue, NamesNoTagWithAnUncommittedBatchBeforeIt) {
  std::mt19937_64 random(3);
  consumer::SettleQueue queue;
  std::map<std::uint64_t, std::size_t> open;  // by group
  std::map<std::uint64_t, std::uint64_t> tags;
  std::uint64_t tag = 0;
  std::uint64_t last = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (open.size() < 5 && random() % 2 == 0) {
      tag += 1 + random() % 9;
      const std::size_t batches = random() % 4;
      const auto group = queue.begin(tag, batches);
      tags[group] = tag;
      if (batches != 0) open[group] = batches;
    } else if (!open.empty()) {
      auto at = open.begin();
      std::advance(at, random() % open.size());
      queue.committed(at->first);
      if (--at->second == 0) open.erase(at);
    }
    if (const auto settled = queue.settled()) {
      EXPECT_GT(*settled, last);
      last = *settled;
    }
    const std::uint64_t first_open = open.empty() ? tag + 1 : tags[open.begin()->first];
    EXPECT_LT(last, first_open);
    if (open.empty()) {
      EXPECT_EQ(last, tag);
      EXPECT_EQ(queue.groups(), 0U);
    }
  }
}

}  // namespace
}  // namespace spillway::uplink::test
