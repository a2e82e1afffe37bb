// The conveniences over claim and commit: templates, FlatBuffers, the C ABI.
#include <array>

#include "spillway/flatbuffers.h"
#include "spillway/record_template.h"
#include "spillway/spillway.h"
#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kWalkBytes = 64U * 1024;

std::vector<std::vector<std::byte>> take_all(shm::LaneReader& reader) {
  std::vector<std::vector<std::byte>> records;
  for (int i = 0; i < 1000; ++i) {
    const shm::Walk walk = reader.walk(kWalkBytes);
    EXPECT_NE(walk.end, shm::WalkEnd::kDamaged) << walk.rule;
    if (walk.frames.empty()) break;
    EXPECT_TRUE(for_each_record(walk.frames, [&records](std::span<const std::byte> record) {
      records.emplace_back(record.begin(), record.end());
    }));
    reader.consume(walk.lane_end);
  }
  return records;
}

TEST(RecordTemplate, PatchesTheCopyAndNeverBeyondIt) {
  TempQueue queue;
  queue.open();
  Producer producer;
  ASSERT_EQ(producer.open(queue.path().c_str(), "a"), Status::kOk);
  auto reader = queue.attach_only_lane();
  const std::array<std::byte, 24> bytes{};
  const RecordTemplate sample(bytes);
  EXPECT_EQ(sample.put(producer, Patch{8, 21.5}, Patch{16, std::uint32_t{7}}), Status::kOk);
  EXPECT_EQ(sample.put(producer), Status::kOk);
  EXPECT_EQ(sample.put(producer, Patch{20, 1.0}), Status::kInvalid);
  EXPECT_EQ(sample.put(producer, Patch{~std::size_t{0}, 1.0}), Status::kInvalid);
  const auto records = take_all(*reader);
  ASSERT_EQ(records.size(), 2U);
  double value = 0;
  std::uint32_t number = 0;
  std::memcpy(&value, records[0].data() + 8, sizeof value);
  std::memcpy(&number, records[0].data() + 16, sizeof number);
  EXPECT_EQ(value, 21.5);
  EXPECT_EQ(number, 7U);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), records[1].begin(), records[1].end()));
}

TEST(FlatBuffers, BuiltInTheClaimIsTheSameAsCopiedIn) {
  TempQueue queue;
  queue.open();
  Producer producer;
  ASSERT_EQ(producer.open(queue.path().c_str(), "a"), Status::kOk);
  auto reader = queue.attach_only_lane();
  std::vector<std::vector<std::byte>> wanted;
  // From about 230 bytes on, the claim is outgrown and the record comes from the heap.
  RecordBuilder in_place(producer, 250);
  EXPECT_EQ(in_place.commit(), Status::kInvalid);
  for (std::size_t length = 0; length < 400; length += 3) {
    const std::string text(length, 'x');
    const auto build = [&text](flatbuffers::FlatBufferBuilder& builder) {
      const auto name = builder.CreateString(text);
      const auto table = builder.StartTable();
      builder.AddOffset(4, name);
      builder.AddElement<double>(6, 21.5, 0);
      builder.Finish(flatbuffers::Offset<flatbuffers::String>(builder.EndTable(table)));
    };
    flatbuffers::FlatBufferBuilder copied;
    build(copied);
    ASSERT_EQ(put(producer, copied), Status::kOk);
    if (length % 2 == 0) {
      auto* abandoned = in_place.begin();
      ASSERT_NE(abandoned, nullptr);
      build(*abandoned);
    }
    auto* builder = in_place.begin();
    ASSERT_NE(builder, nullptr);
    build(*builder);
    ASSERT_EQ(in_place.commit(), Status::kOk);
    ASSERT_EQ(in_place.commit(), Status::kInvalid);
    const auto* bytes = reinterpret_cast<const std::byte*>(copied.GetBufferPointer());
    for (int i = 0; i < 2; ++i) wanted.emplace_back(bytes, bytes + copied.GetSize());
  }
  EXPECT_EQ(take_all(*reader), wanted);
  while (producer.put(std::vector<std::byte>(1000)) == Status::kOk) {
  }
  RecordBuilder refused(producer, 250);
  while (producer.put(std::vector<std::byte>(1)) == Status::kOk) {
  }
  EXPECT_EQ(refused.begin(), nullptr);
  EXPECT_EQ(refused.status(), Status::kFull);
  EXPECT_EQ(refused.commit(), Status::kFull);
}

TEST(CAbi, PutsClaimsFlushesAndExplains) {
  TempQueue queue;
  queue.open();
  spillway_producer* producer = nullptr;
  spillway_producer_options options{};
  EXPECT_EQ(spillway_producer_open(queue.path().c_str(), "a", &options, &producer),
            SPILLWAY_INVALID);
  EXPECT_NE(std::string(spillway_error_detail()).find("struct_size"), std::string::npos);
  options.struct_size = sizeof options;
  options.producer_name = "c";
  ASSERT_EQ(spillway_producer_open(queue.path().c_str(), "a", &options, &producer), SPILLWAY_OK);
  auto reader = queue.attach_only_lane();
  EXPECT_EQ(core::producer_of(reader->identity()), "c");
  EXPECT_EQ(spillway_producer_put(producer, "hello", 5), SPILLWAY_OK);
  EXPECT_EQ(spillway_producer_commit(producer, 5), SPILLWAY_INVALID);
  void* room = nullptr;
  ASSERT_EQ(spillway_producer_claim(producer, 100, &room), SPILLWAY_OK);
  std::memcpy(room, "world", 5);
  EXPECT_EQ(spillway_producer_commit(producer, 5), SPILLWAY_OK);
  EXPECT_EQ(spillway_producer_flush(producer, SPILLWAY_ACCEPTED, 0), SPILLWAY_OK);
  EXPECT_EQ(spillway_producer_flush(producer, SPILLWAY_PROCESS_SAFE, 0), SPILLWAY_TIMEOUT);
  EXPECT_EQ(spillway_producer_reached(producer), SPILLWAY_ACCEPTED);
  const auto records = take_all(*reader);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(std::memcmp(records[0].data(), "hello", 5), 0);
  EXPECT_EQ(std::memcmp(records[1].data(), "world", 5), 0);
  EXPECT_EQ(spillway_producer_flush(producer, SPILLWAY_PROCESS_SAFE, 0), SPILLWAY_OK);
  EXPECT_EQ(spillway_producer_reached(producer), SPILLWAY_PROCESS_SAFE);
  EXPECT_EQ(spillway_producer_reached(nullptr), SPILLWAY_ACCEPTED);
  EXPECT_EQ(spillway_producer_put(producer, room, 1U << 20), SPILLWAY_TOO_LARGE);
  EXPECT_EQ(spillway_producer_rejected(producer), 1U);
  const std::array<spillway_bytes, 3> several{{{"one", 3}, {"three", 5}, {nullptr, 7}}};
  std::size_t accepted = 0;
  EXPECT_EQ(spillway_producer_put_many(producer, several.data(), 3, &accepted), SPILLWAY_INVALID);
  EXPECT_EQ(accepted, 2U);
  EXPECT_EQ(spillway_producer_put_many(producer, several.data(), 2, nullptr), SPILLWAY_OK);
  EXPECT_EQ(spillway_producer_put_many(producer, nullptr, 2, &accepted), SPILLWAY_INVALID);
  EXPECT_EQ(accepted, 0U);
  const auto batched = take_all(*reader);
  ASSERT_EQ(batched.size(), 4U);
  EXPECT_EQ(std::memcmp(batched[3].data(), "three", 5), 0);
  spillway_producer_close(producer);
  spillway_producer_close(nullptr);
  EXPECT_EQ(spillway_producer_put(nullptr, "x", 1), SPILLWAY_INVALID);
  for (int status = 0; status < 20; ++status) {
    EXPECT_STRNE(spillway_status_text(static_cast<spillway_status>(status)), "");
  }
}

}  // namespace
}  // namespace spillway::tests
