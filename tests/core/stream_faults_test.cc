// What a stream says when the files under it go, on a real file system.
#include <gtest/gtest.h>

#include <filesystem>

#include "spill_helpers.h"
#include "spillway/core/env/file_identity.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::core::testing {
namespace {

namespace fs = std::filesystem;

class StreamFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "spillway-faults-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    open();
    ASSERT_TRUE(stream_->declare_lane(make_identity(1), 0, 0, false));
    append(3);
  }
  void TearDown() override {
    stream_.reset();
    fs::remove_all(root_);
  }
  void open() {
    stream_.reset();
    StreamOptions options;
    options.name = "telemetry";
    options.directory = root_ + "/spill/telemetry";
    options.journal_page_path = root_ + "/queue/telemetry";
    options.segment_bytes = 64 * 1024;
    options.max_bytes = 1 << 20;
    stream_ = value_of(Stream::open(env::posix_env(), options));
  }
  void append(int records) {
    for (int i = 0; i < records; ++i) ASSERT_TRUE(append_records(*stream_, 1, {"record"}));
  }
  [[nodiscard]] std::string control() const { return root_ + "/spill/telemetry/control"; }
  [[nodiscard]] std::uint64_t journals(JournalReason reason) const {
    return stream_->faults().journals.at(static_cast<std::size_t>(reason));
  }

  std::string root_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(StreamFaultsTest, WhoseSegmentWasRemovedSaysSoAndBeginsBehindWhatItHadCounted) {
  EXPECT_TRUE(stream_->check_ground());
  const auto before = env::identify(control());
  for (const auto& entry : fs::directory_iterator(root_ + "/spill/telemetry")) {
    if (entry.path().extension() == ".spill") fs::remove(entry.path());
  }
  EXPECT_FALSE(stream_->check_ground());
  open();
  EXPECT_EQ(stream_->next_offset(), 3U);
  EXPECT_EQ(journals(JournalReason::kWiped), 1U);
  // By this the readers notice that numbers of segments are given anew.
  EXPECT_NE(env::identify(control()), before);
}

TEST_F(StreamFaultsTest, WhoseSegmentIsAnotherOneSaysSo) {
  const auto spill = root_ + "/spill/telemetry/";
  const auto name = [&] {
    for (const auto& entry : fs::directory_iterator(spill)) {
      const auto file = entry.path().filename().string();
      if (file.starts_with("0000000000-")) return entry.path();
    }
    return fs::path();
  }();
  const auto size = fs::file_size(name);
  fs::remove(name);
  ASSERT_TRUE(env::posix_env().open(name.string(), env::OpenMode::kCreateNew));
  fs::resize_file(name, size);
  EXPECT_FALSE(stream_->check_ground());
}

TEST_F(StreamFaultsTest, WhoseControlPageIsCutOffLivesAndMakesItAnew) {
  fs::resize_file(control(), 0);
  append(2);  // a store into the page: SIGBUS, were it not contained
  EXPECT_FALSE(stream_->check_ground());
  open();
  EXPECT_TRUE(stream_->check_ground());
  EXPECT_EQ(stream_->next_offset(), 5U);
  EXPECT_EQ(stream_->recovery().reason, "");
  EXPECT_EQ(fs::file_size(control()), 4096U);
}

}  // namespace
}  // namespace spillway::core::testing
