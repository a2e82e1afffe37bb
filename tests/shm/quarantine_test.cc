// Setting aside works whatever was set aside before.
#include <sys/stat.h>

#include <algorithm>

#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr int kMoreThanAreKept = 70;
constexpr std::uint64_t kSmallLane = 16U * 1024;

/// A user who may make files in lanes/ may make directories there, too, with files in them.
TEST(Quarantine, DirectoriesThatLookLikeLanesDoNotJamIt) {
  TempQueue queue;
  queue.open();
  for (int i = 0; i < kMoreThanAreKept; ++i) {
    const std::string path = queue.path() + "/lanes/" + std::to_string(i) + ".lane";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
    ASSERT_EQ(mkdir((path + "/inside").c_str(), 0700), 0);
    // It may be refused, for it is no lane; then it stays where it is.
    static_cast<void>(queue.directory().quarantine(path));
  }
  Producer producer;
  ASSERT_EQ(producer.open(queue.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
  const auto lanes = queue.directory().lanes();
  ASSERT_TRUE(lanes);
  const auto real = std::find_if(lanes->begin(), lanes->end(), [](const std::string& path) {
    return std::filesystem::is_regular_file(path);
  });
  ASSERT_NE(real, lanes->end());
  const auto set_aside = queue.directory().quarantine(*real);
  EXPECT_TRUE(set_aside) << set_aside.error().message;
  EXPECT_FALSE(std::filesystem::exists(*real));
}

}  // namespace
}  // namespace spillway::tests
