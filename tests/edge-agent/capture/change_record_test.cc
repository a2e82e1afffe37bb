// Changes as records: exact values, and large ones in parts of which nothing is missing.
#include "edge-agent/ingest/capture/change_record.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/record_json.h"

namespace spillway::agent::capture {
namespace {

Value text(std::string_view column, std::string bytes, change::Kind kind = change::Kind::text) {
  Value value;
  value.column = column;
  value.kind = kind;
  value.bytes = std::move(bytes);
  return value;
}

std::vector<std::vector<std::byte>> parts_of(ChangeRecord& record, const Change& change) {
  std::vector<std::vector<std::byte>> parts;
  EXPECT_TRUE(record.build(change, [&](std::uint32_t part, std::span<const std::byte> bytes) {
    EXPECT_EQ(part, parts.size());
    parts.emplace_back(bytes.begin(), bytes.end());
    return core::Result<void>();
  }));
  return parts;
}

const change::Change& root_of(const std::vector<std::byte>& record) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(record.data());
  flatbuffers::Verifier verifier(bytes, record.size());
  EXPECT_TRUE(change::VerifyChangeBuffer(verifier));
  return *change::GetChange(bytes);
}

TEST(ChangeRecord, KeepsEachKindOfValueExactly) {
  ChangeRecord record("shop", 60 << 10);
  record.set_epoch(7);
  Change change;
  change.key = {9, 1, 0};
  change.table = "orders";
  Value integer;
  integer.column = "id";
  integer.kind = change::Kind::integer;
  integer.integer = std::numeric_limits<std::int64_t>::min();
  Value real;
  real.column = "weight";
  real.kind = change::Kind::real;
  real.real = 0.1;
  Value null;
  null.column = "gone";
  change.key_values = {integer};
  change.new_values = {integer,
                       real,
                       null,
                       text("name", std::string("a\0b", 3)),
                       text("data", std::string("\0\xFF", 2), change::Kind::blob),
                       text("odd", "\xFF\xFE")};
  const auto parts = parts_of(record, change);
  ASSERT_EQ(parts.size(), 1U);
  const auto& root = root_of(parts[0]);
  EXPECT_EQ(root.epoch(), 7U);
  EXPECT_EQ(root.parts(), 1U);
  const auto& values = *root.new_();
  EXPECT_EQ(values[0]->integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(values[1]->real(), 0.1);
  EXPECT_EQ(values[2]->kind(), change::Kind::nothing);
  EXPECT_EQ(values[3]->text()->str(), std::string("a\0b", 3));
  EXPECT_EQ(values[4]->blob()->size(), 2U);
  EXPECT_EQ(values[5]->kind(), change::Kind::text) << "text that is not UTF-8 is text";
  EXPECT_EQ(values[5]->blob()->size(), 2U) << "and stands where any bytes may";
}

TEST(ChangeRecord, WhatIsTooLargeComesInPartsOfWhichNothingIsMissing) {
  for (const std::size_t bytes_max : {1024UL, 1500UL, 4096UL, 60UL << 10}) {
    ChangeRecord record("shop", bytes_max);
    Change change;
    change.table = "orders";
    change.transaction_end = true;
    std::string large;
    for (int i = 0; i < 200'000; ++i) large += static_cast<char>('a' + i % 23);
    change.key_values = {text("id", "k")};
    change.old_values = {text("id", "k"), text("payload", large, change::Kind::blob)};
    change.new_values = {text("id", "k"), text("payload", large + "!"), text("empty", "")};
    const auto parts = parts_of(record, change);
    ASSERT_GT(parts.size(), 1U);
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_LE(parts[i].size(), bytes_max);
      const auto& root = root_of(parts[i]);
      EXPECT_EQ(root.part(), i);
      EXPECT_EQ(root.parts(), parts.size());
      EXPECT_EQ(root.transaction_end(), i + 1 == parts.size());
      const auto collect = [&](const std::string& side, const auto* list) {
        if (list == nullptr) return;
        for (const auto* value : *list) {
          std::string& whole = found[side + value->column()->str()];
          EXPECT_EQ(value->at(), whole.size());
          if (value->text() != nullptr) whole += value->text()->str();
          if (value->blob() != nullptr) {
            whole.append(reinterpret_cast<const char*>(value->blob()->data()),
                         value->blob()->size());
          }
        }
      };
      collect("old.", root.old());
      collect("new.", root.new_());
    }
    EXPECT_EQ(found["old.payload"], large);
    EXPECT_EQ(found["new.payload"], large + "!");
    EXPECT_EQ(found.count("new.empty"), 1U);
  }
}

TEST(ChangeRecord, NamesThatFillARecordAreRefusedAndNotCutOff) {
  ChangeRecord record("shop", 1024);
  Change change;
  const std::string name(2000, 'c');
  change.new_values = {text(name, std::string(100, 'v'))};
  const auto built = record.build(
      change, [](std::uint32_t, std::span<const std::byte>) { return core::Result<void>(); });
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code, core::ErrorCode::kInvalidArgument);
}

TEST(ChangeRecord, IsExplainedByTheSchemaThatGoesWithIt) {
  ChangeRecord record("shop", 60 << 10);
  Change change;
  change.operation = change::Operation::delete_;
  change.table = "orders";
  const auto parts = parts_of(record, change);
  const auto json = core::RecordJson::make(change_schema().bfbs);
  ASSERT_TRUE(json);
  const auto printed = json->print(parts[0]);
  ASSERT_TRUE(printed);
  EXPECT_NE(printed->find("\"operation\":\"delete\""), std::string::npos) << *printed;
}

}  // namespace
}  // namespace spillway::agent::capture
