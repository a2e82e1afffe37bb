// What a producer leaves beside its lane so that its records can be explained, and what the agent's
// side makes of what others leave there.
#include "spillway/core/schema.h"

#include <sys/stat.h>

#include <fstream>

#include "spillway/spillway.h"
#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

/// Enough to pass for a binary schema where only its first bytes are looked at.
std::vector<std::byte> schema_like(std::size_t size, int fill = 1) {
  std::vector<std::byte> bytes(size, static_cast<std::byte>(fill));
  std::memcpy(bytes.data() + 4, "BFBS", 4);
  return bytes;
}

class LeftSchema : public ::testing::Test {
 protected:
  void SetUp() override { queue_.open(); }
  Status open(std::span<const std::byte> schema, std::uint64_t fingerprint = 0) {
    ProducerOptions options;
    options.schema = schema;
    options.schema_fingerprint = fingerprint;
    return producer_.open(queue_.path().c_str(), "a", options);
  }
  std::uint64_t fingerprint_in_lane() {
    return queue_.attach_only_lane()->identity().schema_fingerprint();
  }
  std::filesystem::path room() const { return std::filesystem::path(queue_.path()) / "schemas"; }
  std::filesystem::path path_of(std::uint64_t fingerprint) const {
    return room() / (core::fingerprint_text(fingerprint) + ".bfbs");
  }
  std::size_t left() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(room()), {}));
  }
  void write(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

  TempQueue queue_;
  Producer producer_;
};

TEST_F(LeftSchema, IsFoundUnderTheFingerprintThatTheLaneNames) {
  const auto schema = schema_like(3000);
  const mode_t before = umask(0777);
  ASSERT_EQ(open(schema), Status::kOk) << error_detail();
  umask(before);
  const std::uint64_t fingerprint = fingerprint_in_lane();
  EXPECT_EQ(fingerprint, core::schema_fingerprint(schema));
  const auto read = queue_.directory().read_schema(fingerprint);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, schema);
  struct stat status {};
  ASSERT_EQ(stat(path_of(fingerprint).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);
  // Once more is nothing more.
  ASSERT_EQ(open(schema, fingerprint), Status::kOk) << error_detail();
  EXPECT_EQ(left(), 1U);
}

TEST_F(LeftSchema, WhatCanBeNoSchemaIsRefusedAndLeavesNothing) {
  EXPECT_EQ(open(std::vector<std::byte>(100)), Status::kInvalid);
  EXPECT_EQ(open(std::vector<std::byte>(3)), Status::kInvalid);
  EXPECT_NE(std::string(error_detail()).find("flatc"), std::string::npos) << error_detail();
  EXPECT_EQ(open(schema_like(core::kSchemaBytesMax + 1)), Status::kInvalid);
  EXPECT_NE(std::string(error_detail()).find("64 KiB"), std::string::npos) << error_detail();
  EXPECT_EQ(open(schema_like(100), 7), Status::kInvalid);
  EXPECT_EQ(left(), 0U);
  EXPECT_EQ(queue_.directory().lanes()->size(), 0U);
  EXPECT_EQ(open(schema_like(core::kSchemaBytesMax)), Status::kOk);
}

TEST_F(LeftSchema, AQueueOfAnOlderAgentTakesTheLaneAllTheSame) {
  std::filesystem::remove(room());
  const auto schema = schema_like(100);
  ASSERT_EQ(open(schema), Status::kOk) << error_detail();
  EXPECT_EQ(fingerprint_in_lane(), core::schema_fingerprint(schema));
}

TEST_F(LeftSchema, ACallersStructOfAnEarlierVersionHasNoSchema) {
  const auto schema = schema_like(100);
  spillway_producer_options options{};
  options.schema = schema.data();
  options.schema_size = schema.size();
  options.struct_size = offsetof(spillway_producer_options, schema);
  spillway_producer* made = nullptr;
  ASSERT_EQ(spillway_producer_open(queue_.path().c_str(), "a", &options, &made), SPILLWAY_OK);
  spillway_producer_close(made);
  EXPECT_EQ(left(), 0U);
  options.struct_size = sizeof options;
  ASSERT_EQ(spillway_producer_open(queue_.path().c_str(), "a", &options, &made), SPILLWAY_OK);
  spillway_producer_close(made);
  EXPECT_EQ(left(), 1U);
}

TEST_F(LeftSchema, NothingIsFollowedOrBlockedOn) {
  auto& directory = queue_.directory();
  std::filesystem::create_symlink("/etc/passwd", path_of(1));
  ASSERT_EQ(mkfifo(path_of(2).c_str(), 0666), 0);
  write(path_of(3), schema_like(core::kSchemaBytesMax + 1));
  write(path_of(4), {});
  write(room() / "other", schema_like(100));
  std::filesystem::create_hard_link(room() / "other", path_of(5));
  for (std::uint64_t fingerprint = 1; fingerprint <= 5; ++fingerprint) {
    EXPECT_FALSE(directory.read_schema(fingerprint)) << fingerprint;
  }
  EXPECT_EQ(directory.read_schema(6).error().code, core::ErrorCode::kNotFound);
  directory.tidy_schemas({1, 2, 3, 4, 5});
  EXPECT_EQ(left(), 1U) << "but for what may be a producer's draft";
}

TEST_F(LeftSchema, OneUserHasSoManyAndTheOldestGo) {
  for (std::uint64_t fingerprint = 1; fingerprint <= 70; ++fingerprint) {
    write(path_of(fingerprint), schema_like(100));
  }
  queue_.directory().tidy_schemas({1, 2});
  EXPECT_EQ(left(), 66U) << "64 that no lane names, and two that one does";
  EXPECT_TRUE(std::filesystem::exists(path_of(1)));
  EXPECT_FALSE(std::filesystem::exists(path_of(3)));
  EXPECT_TRUE(std::filesystem::exists(path_of(70)));
}

}  // namespace
}  // namespace spillway::tests
