// What every Env must do, run against the real one and its twin, so that the twin can be believed.
#include "spillway/core/env/env.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core::env {
namespace {

std::span<const std::byte> bytes_of_text(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

enum class Which : std::uint8_t { kPosix, kSim };

class EveryEnv : public testing::TestWithParam<Which> {
 protected:
  void SetUp() override {
    if (GetParam() == Which::kSim) {
      sim_ = std::make_unique<SimEnv>(1);
      env_ = sim_.get();
      root_ = "/test";
      ASSERT_TRUE(env_->make_directories(root_));
      return;
    }
    env_ = &posix_env();
    root_ = testing::TempDir() + "/spillway_env_XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
  }
  void TearDown() override {
    if (GetParam() == Which::kPosix) std::filesystem::remove_all(root_);
  }
  std::unique_ptr<File> make(const std::string& name, std::string_view text) {
    auto file = env_->open(root_ + "/" + name, OpenMode::kOpenOrCreate);
    EXPECT_TRUE(file) << file.error().message;
    EXPECT_TRUE((*file)->write(0, bytes_of_text(text)));
    return std::move(*file);
  }
  std::string content(const std::string& name) {
    const auto bytes = read_file(*env_, root_ + "/" + name, 1 << 20);
    return bytes ? text_of(*bytes) : "error: " + bytes.error().message;
  }

  std::unique_ptr<SimEnv> sim_;
  Env* env_ = nullptr;
  std::string root_;
};

INSTANTIATE_TEST_SUITE_P(, EveryEnv, testing::Values(Which::kPosix, Which::kSim),
                         [](const auto& param) {
                           return param.param == Which::kPosix ? "posix" : "sim";
                         });

TEST_P(EveryEnv, written_bytes_are_read_back_and_a_read_ends_at_the_files_end) {
  const auto file = make("a", "0123456789");
  ASSERT_TRUE(file->write(20, bytes_of_text("xy")));
  std::vector<std::byte> into(100);
  EXPECT_EQ(file->read(0, into).value(), 22U);
  EXPECT_EQ(text_of(std::span(into).first(10)), "0123456789");
  EXPECT_EQ(into[15], std::byte{0});
  EXPECT_EQ(file->read(8, std::span(into).first(1)).value(), 1U);
  EXPECT_EQ(into[0], std::byte{'8'});
  EXPECT_EQ(file->read(22, into).value(), 0U);
  EXPECT_EQ(file->read(1000, into).value(), 0U);
  EXPECT_EQ(file->size().value(), 22U);
}

TEST_P(EveryEnv, open_modes_refuse_what_is_not_there_and_what_is_already) {
  EXPECT_EQ(env_->open(root_ + "/none", OpenMode::kRead).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(env_->open(root_ + "/none", OpenMode::kReadWrite).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(env_->open(root_ + "/no/dir", OpenMode::kCreateNew).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(env_->open(root_ + "/new", OpenMode::kCreateNew));
  EXPECT_EQ(env_->open(root_ + "/new", OpenMode::kCreateNew).error().code, ErrorCode::kBusy);
  EXPECT_TRUE(env_->open(root_ + "/new", OpenMode::kOpenOrCreate));
  EXPECT_FALSE(env_->open(root_, OpenMode::kRead));
}

TEST_P(EveryEnv, file_opened_for_reading_takes_no_change) {
  make("a", "0123456789abcdef");
  const auto file = env_->open(root_ + "/a", OpenMode::kRead).value();
  EXPECT_FALSE(file->write(0, bytes_of_text("x")));
  EXPECT_FALSE(file->map(16, MapAccess::kReadWrite));
  EXPECT_FALSE(file->try_lock());
  EXPECT_TRUE(file->map(16, MapAccess::kRead));
  EXPECT_EQ(content("a"), "0123456789abcdef");
}

TEST_P(EveryEnv, allocated_bytes_are_zero_and_never_shrink_a_file) {
  const auto file = make("a", "abc");
  ASSERT_TRUE(file->allocate(10000));
  EXPECT_EQ(file->size().value(), 10000U);
  ASSERT_TRUE(file->allocate(5000));
  EXPECT_EQ(file->size().value(), 10000U);
  EXPECT_EQ(content("a"), "abc" + std::string(9997, '\0'));
}

TEST_P(EveryEnv, mapping_shares_its_bytes_with_the_file_and_outlives_it) {
  auto file = make("a", std::string(8192, 'a'));
  const auto mapping = file->map(8192, MapAccess::kReadWrite).value();
  const auto reader = file->map(4096, MapAccess::kRead).value();
  file.reset();
  mapping->write(4000, bytes_of_text("hello"));
  mapping->store_release(8, 0x0102'0304'0506'0708);
  EXPECT_EQ(reader->load_acquire(8), 0x0102'0304'0506'0708U);
  EXPECT_EQ(text_of({reader->data() + 4000, 5}), "hello");
  EXPECT_EQ(reader->size(), 4096U);
  EXPECT_EQ(content("a").substr(4000, 6), "helloa");
}

TEST_P(EveryEnv, mapping_beyond_the_files_end_is_an_error_not_a_fault_later) {
  const auto file = make("a", "abc");
  EXPECT_FALSE(file->map(4096, MapAccess::kReadWrite));
  EXPECT_FALSE(file->map(0, MapAccess::kRead));
}

TEST_P(EveryEnv, lock_is_held_until_its_file_goes) {
  auto first = make("a", "");
  const auto second = env_->open(root_ + "/a", OpenMode::kReadWrite).value();
  EXPECT_TRUE(first->try_lock().value());
  EXPECT_TRUE(first->try_lock().value());
  EXPECT_FALSE(second->try_lock().value());
  first.reset();
  EXPECT_TRUE(second->try_lock().value());
}

TEST_P(EveryEnv, rename_replaces_and_remove_removes) {
  make("a", "new");
  make("b", "old");
  ASSERT_TRUE(env_->rename(root_ + "/a", root_ + "/b"));
  EXPECT_FALSE(env_->exists(root_ + "/a").value());
  EXPECT_EQ(content("b"), "new");
  ASSERT_TRUE(env_->remove(root_ + "/b"));
  EXPECT_FALSE(env_->exists(root_ + "/b").value());
  EXPECT_EQ(env_->remove(root_ + "/b").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(env_->rename(root_ + "/b", root_ + "/c").error().code, ErrorCode::kNotFound);
}

TEST_P(EveryEnv, directories_are_made_with_parents_and_listed_in_order) {
  ASSERT_TRUE(env_->make_directories(root_ + "/x//y/z/"));
  ASSERT_TRUE(env_->make_directories(root_ + "/x/y"));
  make("x/c", "");
  make("x/a", "");
  EXPECT_EQ(env_->list(root_ + "/x").value(), (std::vector<std::string>{"a", "c", "y"}));
  EXPECT_EQ(env_->list(root_ + "/none").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(env_->sync_directory(root_ + "/x"));
  EXPECT_EQ(env_->sync_directory(root_ + "/none").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(env_->make_directories(root_ + "/x/a/b"));
  EXPECT_TRUE(env_->exists(root_ + "/x/y/z").value());
}

TEST_P(EveryEnv, replaced_file_is_whole_and_leaves_nothing_beside_it) {
  ASSERT_TRUE(replace_file(*env_, root_ + "/a", bytes_of_text("one")));
  make("a.new", "left over from a crash, and longer");
  ASSERT_TRUE(replace_file(*env_, root_ + "/a", bytes_of_text("two")));
  EXPECT_EQ(content("a"), "two");
  EXPECT_EQ(env_->list(root_).value(), std::vector<std::string>{"a"});
}

TEST_P(EveryEnv, reading_a_whole_file_is_bounded) {
  make("a", "12345");
  EXPECT_TRUE(read_file(*env_, root_ + "/a", 5));
  EXPECT_EQ(read_file(*env_, root_ + "/a", 4).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read_file(*env_, root_ + "/b", 4).error().code, ErrorCode::kNotFound);
}

TEST_P(EveryEnv, a_file_of_any_size_is_read_whole) {
  for (const std::size_t size :
       std::initializer_list<std::size_t>{0, 1, 4095, 4096, 4097, 8192, 100'000}) {
    const std::string path = root_ + "/of-" + std::to_string(size);
    std::vector<std::byte> written(size);
    for (std::size_t i = 0; i < size; ++i) written[i] = static_cast<std::byte>(i * 7 % 251);
    ASSERT_TRUE(env_->open(path, OpenMode::kCreateNew).value()->write(0, written));
    EXPECT_EQ(read_file(*env_, path, 1 << 20).value(), written);
    EXPECT_EQ(read_file(*env_, path, size).value(), written);
    if (size == 0) continue;
    EXPECT_EQ(read_file(*env_, path, size - 1).error().code, ErrorCode::kCorrupt);
  }
}

TEST_P(EveryEnv, sizes_are_told_of_files_alone) {
  make("a", "hello");
  make("b", "");
  ASSERT_TRUE(env_->make_directories(root_ + "/folder"));
  const auto listed = env_->list_sizes(root_).value();
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].name, "a");
  EXPECT_EQ(listed[0].bytes, 5U);
  EXPECT_EQ(listed[1].name, "b");
  EXPECT_EQ(listed[1].bytes, 0U);
  EXPECT_EQ(env_->list_sizes(root_ + "/none").error().code, ErrorCode::kNotFound);
}

TEST_P(EveryEnv, clocks_and_ids_are_there) {
  EXPECT_GT(env_->boottime_ns(), 0U);
  EXPECT_GT(env_->utc_ns(), 1'700'000'000'000'000'000U);
  EXPECT_TRUE(env_->utc_is_certain());
  EXPECT_FALSE(env_->boot_id().is_nil());
  EXPECT_EQ(env_->boot_id(), env_->boot_id());
  EXPECT_NE(env_->random_u64(), env_->random_u64());
}

TEST(PosixEnv, what_is_no_regular_file_is_refused_without_waiting) {
  const std::string path = testing::TempDir() + "/spillway_fifo_" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(posix_env().open(path, OpenMode::kRead).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(posix_env().remove(path));
}

}  // namespace
}  // namespace spillway::core::env
