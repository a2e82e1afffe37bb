#include "spillway/core/record_json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "sample_bfbs_generated.h"
#include "sample_generated.h"
#include "spillway/core/schema.h"

namespace spillway::core {
namespace {

using Bytes = std::vector<std::byte>;

Bytes sample_schema() {
  const auto bytes = std::as_bytes(
      std::span(sample::EverythingBinarySchema::data(), sample::EverythingBinarySchema::size()));
  return {bytes.begin(), bytes.end()};
}

Bytes finish(flatbuffers::FlatBufferBuilder& builder,
             flatbuffers::Offset<sample::Everything> root) {
  builder.Finish(root);
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

Bytes full_record() {
  flatbuffers::FlatBufferBuilder b;
  const auto text = b.CreateString("a \"b\" \\ \n \xC3\xA4");
  const auto leaf = sample::CreateLeaf(b, b.CreateString("oak"), 9);
  const auto plain = sample::CreateLeaf(b);
  const sample::Point corners[] = {{1, 2}, {3, 4}};
  const std::uint16_t cells[] = {7, 8, 65535};
  const sample::Grid grid(sample::Point(0.5F, -0.25), cells, corners);
  const auto numbers = b.CreateVector(std::vector<std::int32_t>{1, -2});
  const auto colours = b.CreateVector(std::vector<std::uint8_t>{1, 9});
  const auto words = b.CreateVectorOfStrings(std::vector<std::string>{"", "x"});
  const auto leaves = b.CreateVector(std::vector{leaf, plain});
  const auto points = b.CreateVectorOfStructs(std::vector<sample::Point>{{1, 1}});
  const auto number = sample::CreateNumber(b, std::numeric_limits<std::uint64_t>::max());
  const auto spot = b.CreateStruct(sample::Point(2, 3));
  const auto word = b.CreateString("w");
  using Kind = sample::Thing;
  const auto kinds = b.CreateVector(std::vector<std::uint8_t>{
      static_cast<std::uint8_t>(Kind::Leaf), static_cast<std::uint8_t>(Kind::Spot),
      static_cast<std::uint8_t>(Kind::Word)});
  const auto things = b.CreateVector(
      std::vector<flatbuffers::Offset<void>>{leaf.Union(), spot.Union(), word.Union()});
  sample::EverythingBuilder child(b);
  child.add_exact(std::numeric_limits<double>::quiet_NaN());
  const auto inner = child.Finish();
  sample::EverythingBuilder e(b);
  e.add_flag(true);
  e.add_octet(255);
  e.add_wide(-100000);
  e.add_exact(1e300);
  e.add_colour(sample::Colour::blue);
  e.add_maybe(0);
  e.add_text(text);
  e.add_leaf(leaf);
  e.add_grid(&grid);
  e.add_numbers(numbers);
  e.add_colours(flatbuffers::Offset<flatbuffers::Vector<sample::Colour>>(colours.o));
  e.add_words(words);
  e.add_leaves(leaves);
  e.add_points(points);
  e.add_thing_type(Kind::Number);
  e.add_thing(number.Union());
  e.add_things_type(flatbuffers::Offset<flatbuffers::Vector<sample::Thing>>(kinds.o));
  e.add_things(things);
  e.add_child(inner);
  return finish(b, e.Finish());
}

TEST(RecordJsonTest, PrintsEveryShapeInTheSchemasOrder) {
  auto json = RecordJson::make(sample_schema());
  ASSERT_NE(json, nullptr);
  EXPECT_EQ(
      json->print(full_record()),
      R"({"flag":true,"small":-3,"octet":255,"wide":-100000,"ratio":0.5,"exact":1e+300,)"
      R"("colour":"blue","maybe":0,"text":"a \"b\" \\ \u000a ä","leaf":{"name":"oak","weight":9},)"
      R"("grid":{"origin":{"x":0.5,"y":-0.25},"cells":[7,8,65535],)"
      R"("corners":[{"x":1,"y":2},{"x":3,"y":4}]},"numbers":[1,-2],"colours":["red",9],)"
      R"("words":["","x"],"leaves":[{"name":"oak","weight":9},{"weight":-7}],)"
      R"("points":[{"x":1,"y":1}],"thing_type":"Number","thing":{"value":18446744073709551615},)"
      R"("things_type":["Leaf","Spot","Word"],)"
      R"("things":[{"name":"oak","weight":9},{"x":2,"y":3},"w"],)"
      R"("child":{"flag":false,"small":-3,"octet":0,"wide":0,"ratio":0.5,"exact":null,)"
      R"("colour":"green","thing_type":"NONE"}})");
}

TEST(RecordJsonTest, RefusesWhatIsNoSchemaWithARootType) {
  const Bytes good = sample_schema();
  EXPECT_TRUE(check_schema(good));
  EXPECT_FALSE(check_schema({}));
  EXPECT_FALSE(check_schema(Bytes(kSchemaBytesMax + 1)));
  EXPECT_FALSE(check_schema(Bytes(1000, std::byte{0x5A})));
  for (std::size_t size = 0; size < good.size(); size += 4) {
    EXPECT_FALSE(RecordJson::make(std::span(good).first(size))) << size;
  }
}

TEST(RecordJsonTest, AUnionWithoutItsTypeIsNoRecord) {
  flatbuffers::FlatBufferBuilder b;
  const auto number = sample::CreateNumber(b, 1);
  sample::EverythingBuilder e(b);
  e.add_thing(number.Union());
  EXPECT_EQ(RecordJson::make(sample_schema())->print(finish(b, e.Finish())), std::nullopt);
}

TEST(RecordJsonTest, TextThatIsNotUtf8IsNoRecord) {
  flatbuffers::FlatBufferBuilder b;
  const auto text = b.CreateString("\xFF");
  sample::EverythingBuilder e(b);
  e.add_text(text);
  EXPECT_EQ(RecordJson::make(sample_schema())->print(finish(b, e.Finish())), std::nullopt);
}

/// Nesting beyond the bound, made by pointing a child at its own parent: FlatBuffers' offsets only
/// point ahead, so the depth is real.
TEST(RecordJsonTest, NestingHasABound) {
  flatbuffers::FlatBufferBuilder b;
  flatbuffers::Offset<sample::Everything> child;
  for (int depth = 0; depth < RecordJson::kDepthMax + 2; ++depth) {
    sample::EverythingBuilder e(b);
    if (!child.IsNull()) e.add_child(child);
    child = e.Finish();
  }
  EXPECT_EQ(RecordJson::make(sample_schema())->print(finish(b, child)), std::nullopt);
}

/// A vector that names one long string a thousand times, a thousand times over.
TEST(RecordJsonTest, SharedValuesCannotMakeASmallRecordPrintWithoutEnd) {
  flatbuffers::FlatBufferBuilder b;
  const auto text = b.CreateString(std::string(4 << 20, 'x'));
  const auto words = b.CreateVector(std::vector(1000, text));
  sample::EverythingBuilder e(b);
  e.add_words(words);
  EXPECT_EQ(RecordJson::make(sample_schema())->print(finish(b, e.Finish())), std::nullopt);
}

/// Whatever the bytes say: no read outside (the sanitizers watch), an end, and valid UTF-8 text.
class HostileTest : public ::testing::Test {
 protected:
  static void damage(std::mt19937_64& random, Bytes& bytes) {
    for (std::uint64_t i = 0, edits = 1 + random() % 3; i < edits; ++i) {
      const std::size_t at = static_cast<std::size_t>(random() % bytes.size());
      bytes[at] = random() % 2 == 0 ? static_cast<std::byte>(random())
                                    : bytes[at] ^ static_cast<std::byte>(1U << random() % 8);
    }
  }
  void note(const std::optional<std::string>& text) {
    ++(text ? printed_ : refused_);
    EXPECT_TRUE(!text || (text->starts_with("{") && text->ends_with("}")));
  }
  int printed_ = 0;
  int refused_ = 0;
};

TEST_F(HostileTest, ADamagedRecordIsPrintedOrRefused) {
  const auto json = RecordJson::make(sample_schema());
  const Bytes good = full_record();
  std::mt19937_64 random(1);
  for (int round = 0; round < 30'000; ++round) {
    Bytes bytes = good;
    damage(random, bytes);
    if (round % 8 == 0) bytes.resize(static_cast<std::size_t>(random() % bytes.size()));
    note(json->print(Bytes(bytes)));  // a copy as large as it is, so that one byte beyond shows
  }
  EXPECT_GT(printed_, 1000);
  EXPECT_GT(refused_, 1000);
}

TEST_F(HostileTest, ADamagedSchemaPrintsOrRefusesAGoodRecord) {
  const Bytes good = sample_schema();
  const Bytes record = full_record();
  std::mt19937_64 random(2);
  int refused_schemas = 0;
  for (int round = 0; round < 30'000; ++round) {
    Bytes bytes = good;
    damage(random, bytes);
    const auto json = RecordJson::make(bytes);
    if (json == nullptr) {
      ++refused_schemas;
      continue;
    }
    note(json->print(record));
  }
  EXPECT_GT(refused_schemas, 1000);
  EXPECT_GT(printed_, 1000);
  EXPECT_GT(refused_, 100);
}

TEST(SchemaTest, AFingerprintIsTheChecksumOfTheBytesAndNever0) {
  const Bytes bytes{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
  EXPECT_EQ(fingerprint_text(schema_fingerprint(bytes)), "78af5f94892f3950");
}

}  // namespace
}  // namespace spillway::core
