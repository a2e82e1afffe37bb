// Schemas on their way from the queue into the streams: what explains the records goes along, and
// what does not harms nobody.
#include <fstream>

#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/schema.h"
#include "tests/edge-agent/drain_fixture.h"

namespace spillway::agent {
namespace {

class DrainSchemaTest : public testing::DrainFixture {
 protected:
  void begin() {
    DrainOptions options;
    options.log = [this](Severity severity, const std::string& text) {
      if (severity == Severity::kWarning) warnings_.push_back(text);
    };
    start({{"all", {"#"}}}, options);
  }
  void open_with(Producer& producer, const std::string& topic, std::span<const std::byte> schema,
                 std::uint64_t fingerprint = 0) {
    ProducerOptions options;
    options.producer_name = topic.c_str();
    options.schema = schema;
    options.schema_fingerprint = fingerprint;
    ASSERT_EQ(producer.open(queue_dir().c_str(), topic.c_str(), options), Status::kOk)
        << error_detail();
  }
  std::string file_of(std::uint64_t fingerprint) const {
    return queue_dir() + "/schemas/" + core::fingerprint_text(fingerprint) + ".bfbs";
  }
  /// The schemas that stand in the stream, by fingerprint, and how often.
  std::map<std::uint64_t, int> schemas() {
    std::map<std::uint64_t, int> found;
    auto reader = core::StreamReader::open(env_, spill_of("all"));
    EXPECT_TRUE(reader);
    while (true) {
      const auto item = (*reader)->next();
      if (!item || !*item) return found;
      const auto* block = std::get_if<core::Block>(&**item);
      const bool is_schema =
          block != nullptr &&
          block->header.kind() == static_cast<std::uint8_t>(format::BlockKind::schema);
      if (is_schema) ++found[core::schema_fingerprint(block->stored)];
    }
  }
  /// A schema that is not built in: another one with some bytes behind it.
  static std::vector<std::byte> custom_schema() {
    const auto& text = text_schema().bfbs;
    std::vector<std::byte> bytes(text.begin(), text.end());
    bytes.resize(bytes.size() + 8);
    return bytes;
  }

  std::vector<std::string> warnings_;
};

TEST_F(DrainSchemaTest, OneThatAProducerLeftStandsOnceForAllItsLanes) {
  begin();
  const auto schema = custom_schema();
  const std::uint64_t fingerprint = core::schema_fingerprint(schema);
  Producer a;
  Producer b;
  open_with(a, "a", schema);
  open_with(b, "b", schema);
  ASSERT_EQ(put(a, "1"), Status::kOk);
  ASSERT_EQ(put(b, "2"), Status::kOk);
  settle();
  EXPECT_EQ(schemas(), (std::map<std::uint64_t, int>{{fingerprint, 1}}));
  EXPECT_TRUE(warnings_.empty()) << warnings_.front();
}

TEST_F(DrainSchemaTest, ARestartedAgentNeedsItsFileNoMore) {
  begin();
  const auto schema = custom_schema();
  const std::uint64_t fingerprint = core::schema_fingerprint(schema);
  Producer a;
  open_with(a, "a", schema);
  ASSERT_EQ(put(a, "1"), Status::kOk);
  settle();
  stop();
  std::filesystem::remove(file_of(fingerprint));
  begin();
  ASSERT_EQ(put(a, "2"), Status::kOk);
  settle();
  EXPECT_EQ(contents_of("all")["a"].size(), 2U);
  EXPECT_TRUE(streams_.front()->has_schema(fingerprint));
  EXPECT_TRUE(warnings_.empty()) << warnings_.front();
}

TEST_F(DrainSchemaTest, ABuiltInOneNeedsNoFile) {
  begin();
  Producer a;
  open_with(a, "a", {}, system_schema().fingerprint);
  ASSERT_EQ(put(a, "1"), Status::kOk);
  settle();
  EXPECT_EQ(schemas(), (std::map<std::uint64_t, int>{{system_schema().fingerprint, 1}}));
}

TEST_F(DrainSchemaTest, AMissingOneCostsAWarningOnceAndTheLaneIsDrained) {
  begin();
  std::vector<Producer> producers(3);
  for (auto& producer : producers) {
    open_with(producer, "a", {}, 77);
    ASSERT_EQ(put(producer, "1"), Status::kOk);
    ASSERT_EQ(put(producer, "2"), Status::kOk);
    producer.close();
  }
  settle();
  EXPECT_EQ(contents_of("all")["a"].size(), 6U);
  EXPECT_TRUE(schemas().empty());
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_NE(warnings_[0].find("000000000000004d"), std::string::npos) << warnings_[0];
}

/// Whoever was first under a name may have put anything there.
TEST_F(DrainSchemaTest, AHostileOneIsRemovedSoThatAGoodOneCanTakeItsPlace) {
  begin();
  const auto schema = custom_schema();
  const std::uint64_t fingerprint = core::schema_fingerprint(schema);
  std::vector<std::byte> flipped = schema;
  flipped[flipped.size() / 2] ^= std::byte{1};
  const std::vector<std::byte> noise(5000, std::byte{0xA5});
  const auto& other = system_schema().bfbs;
  const std::vector<std::byte> sound(other.begin(), other.end());  // but not what its name says
  int lanes = 0;
  for (const auto& bytes : {flipped, noise, sound, std::vector<std::byte>(70'000)}) {
    std::ofstream(file_of(fingerprint), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    Producer producer;
    open_with(producer, "hostile", schema);
    ASSERT_EQ(put(producer, "1"), Status::kOk);
    producer.close();
    settle();
    EXPECT_FALSE(std::filesystem::exists(file_of(fingerprint)));
    EXPECT_EQ(contents_of("all")["hostile"].size(), static_cast<std::size_t>(++lanes));
  }
  EXPECT_TRUE(schemas().empty());
  EXPECT_EQ(warnings_.size(), 1U);
  Producer producer;
  open_with(producer, "good", schema);
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  settle();
  EXPECT_EQ(schemas(), (std::map<std::uint64_t, int>{{fingerprint, 1}}));
}

/// The name fits the bytes, but these are no schema: the fingerprint alone proves nothing.
TEST_F(DrainSchemaTest, BytesThatFitTheirNameAndAreNoSchemaDoNotGoIntoTheSpill) {
  begin();
  std::vector<std::byte> bytes(1000, std::byte{0xFF});
  std::memcpy(bytes.data() + 4, "BFBS", 4);
  Producer producer;
  open_with(producer, "a", bytes);
  ASSERT_EQ(put(producer, "1"), Status::kOk);
  settle();
  EXPECT_TRUE(schemas().empty());
  EXPECT_EQ(warnings_.size(), 1U);
  EXPECT_EQ(contents_of("all")["a"].size(), 1U);
}

}  // namespace
}  // namespace spillway::agent
