// Opening: what is wrong is said in one line, nothing is left behind, a forked child has no hold on
// its parent's lane.
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "spillway/core/topic.h"
#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kSmallLane = 16U * 1024;
constexpr uid_t kNobody = 65534;

bool detail_has(const std::string& text) {
  return std::string(error_detail()).find(text) != std::string::npos;
}

/// Runs `body` in a child; true if it returned true there.
template <typename Body>
bool in_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// For good, in a child.
bool become_nobody() {
  return setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
         setresuid(kNobody, kNobody, kNobody) == 0;
}

class Open : public ::testing::Test {
 protected:
  void SetUp() override { queue_.open(); }
  Status open(const char* topic, const ProducerOptions& options = {}) {
    return producer_.open(queue_.path().c_str(), topic, options);
  }
  std::size_t lanes() { return queue_.directory().lanes()->size(); }

  TempQueue queue_;
  Producer producer_;
};

TEST_F(Open, NoDirectoryIsNamed) {
  EXPECT_EQ(producer_.open("/nonexistent/queue", "a"), Status::kNoQueue);
  EXPECT_TRUE(detail_has("/nonexistent/queue")) << error_detail();
  EXPECT_TRUE(detail_has("start the agent")) << error_detail();
  EXPECT_FALSE(producer_.is_open());
}

TEST_F(Open, WhatCanNeverWorkIsInvalid) {
  EXPECT_EQ(open("a/+"), Status::kInvalid);
  EXPECT_EQ(open(""), Status::kInvalid);
  EXPECT_EQ(open(nullptr), Status::kInvalid);
  EXPECT_EQ(open(std::string(256, 'a').c_str()), Status::kInvalid);
  EXPECT_TRUE(detail_has("topic")) << error_detail();
  EXPECT_EQ(open("a", {.lane_bytes = 20'000}), Status::kInvalid);
  EXPECT_EQ(open("a", {.lane_bytes = 8'192}), Status::kInvalid);
  EXPECT_EQ(open("a", {.lane_bytes = 128U << 20}), Status::kInvalid);
  EXPECT_TRUE(detail_has("lane_bytes")) << error_detail();
  EXPECT_EQ(open("a", {.lane_bytes = kSmallLane, .max_record_bytes = 8'161}), Status::kInvalid);
  EXPECT_TRUE(detail_has("max_record_bytes")) << error_detail();
  EXPECT_EQ(open("a", {.producer_name = std::string(64, 'p').c_str()}), Status::kInvalid);
  EXPECT_EQ(open("a", {.producer_name = ""}), Status::kInvalid);
  EXPECT_EQ(lanes(), 0U);
  EXPECT_EQ(open("a", {.lane_bytes = kSmallLane, .max_record_bytes = 8'160}), Status::kOk);
  EXPECT_STREQ(error_detail(), "");
  EXPECT_EQ(lanes(), 1U);
}

TEST_F(Open, LanesAreSharedWithTheGroupWhateverTheUmask) {
  const mode_t before = umask(0777);
  const Status status = open("a");
  umask(before);
  ASSERT_EQ(status, Status::kOk) << error_detail();
  struct stat lane {};
  ASSERT_EQ(stat(queue_.only_lane().c_str(), &lane), 0);
  EXPECT_EQ(lane.st_mode & 07777, 0660U);
  struct stat folder {};
  ASSERT_EQ(stat((queue_.path() + "/lanes").c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 07777, 03773U);
  ASSERT_EQ(stat((queue_.path() + "/quarantine").c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 07777, 0700U);
}

TEST_F(Open, WithoutAnAgentEverStartedAProducerWorksAllTheSame) {
  ASSERT_TRUE(std::filesystem::remove(queue_.path() + "/control"));
  ASSERT_EQ(open("a", {.lane_bytes = kSmallLane}), Status::kOk) << error_detail();
  std::uint64_t accepted = 0;
  while (producer_.put(make_record(accepted, 100)) == Status::kOk) ++accepted;
  EXPECT_GT(accepted, 100U);
  // The agent starts: its page is found when there is time to look.
  queue_.close();
  queue_.open();
  EXPECT_EQ(producer_.flush_until(in(1ms), Level::kProcessSafe), Status::kTimeout);
}

TEST_F(Open, LanesAreListedInTheOrderOfTheirMaking) {
  std::vector<std::uint64_t> made;
  for (int i = 0; i < 20; ++i) {
    Producer producer;
    ASSERT_EQ(producer.open(queue_.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
    made.push_back(producer.lane_id());
  }
  std::vector<std::uint64_t> listed;
  const auto lanes_now = queue_.directory().lanes();
  for (const std::string& path : *lanes_now) {
    auto reader = shm::LaneReader::attach(path);
    ASSERT_TRUE(reader);
    listed.push_back((*reader)->identity().lane_id());
  }
  EXPECT_EQ(listed, made);
}

TEST_F(Open, AFullFileSystemIsAnErrorAtOpen) {
  const std::string small = queue_.path() + "-small";
  std::filesystem::create_directories(small);
  if (mount("none", small.c_str(), "tmpfs", 0, "size=128k") != 0) {
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  std::filesystem::create_directories(small + "/lanes");
  EXPECT_EQ(producer_.open(small.c_str(), "a"), Status::kNoSpace);
  EXPECT_TRUE(detail_has("No space left")) << error_detail();
  EXPECT_TRUE(std::filesystem::is_empty(small + "/lanes"));
  EXPECT_EQ(producer_.open(small.c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
  producer_.close();
  umount(small.c_str());
}

TEST_F(Open, AnotherUsersClosedQueueIsAPermissionErrorThatNamesTheGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  ASSERT_EQ(chmod((queue_.path() + "/lanes").c_str(), 0770), 0);
  EXPECT_TRUE(in_child([this] {
    Producer producer;
    return become_nobody() && producer.open(queue_.path().c_str(), "a") == Status::kPermission &&
           detail_has("group spillway");
  }));
}

TEST_F(Open, AnotherUserMayPutButNotListNorRemove) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  ASSERT_EQ(open("a"), Status::kOk);
  const std::string own = queue_.only_lane();
  EXPECT_TRUE(in_child([this, &own] {
    Producer producer;
    return become_nobody() && producer.open(queue_.path().c_str(), "b") == Status::kOk &&
           producer.put(make_record(1, 100)) == Status::kOk && unlink(own.c_str()) != 0 &&
           ::open((queue_.path() + "/lanes").c_str(), O_RDONLY | O_DIRECTORY) < 0;
  })) << "is the way to "
      << queue_.path() << " open to everybody?";
  EXPECT_EQ(lanes(), 2U);
}

TEST_F(Open, AForkedChildIsRefusedAndHoldsNothing) {
  ASSERT_EQ(open("a", {.lane_bytes = kSmallLane}), Status::kOk);
  ASSERT_EQ(producer_.put(make_record(0, 100)), Status::kOk);
  const Claim open_claim = producer_.claim(50);
  auto reader = queue_.attach_only_lane();
  int hold[2];
  int ready[2];
  ASSERT_EQ(pipe(hold), 0);
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    ::close(hold[1]);
    const bool refused = producer_.put(make_record(1, 100)) == Status::kClosed &&
                         producer_.commit(open_claim, 50) == Status::kClosed &&
                         producer_.flush_until(in(1ms), Level::kProcessSafe) == Status::kClosed &&
                         !producer_.is_open();
    producer_.close();
    // A child may open one of its own.
    const bool own = producer_.open(queue_.path().c_str(), "child") == Status::kOk &&
                     producer_.put(make_record(2, 100)) == Status::kOk;
    char byte = 0;
    (void)!write(ready[1], &byte, 1);
    (void)!read(hold[0], &byte, 1);  // lives on until the parent has seen
    _exit(refused && own ? 0 : 1);
  }
  ::close(hold[0]);
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  ::close(ready[1]);
  EXPECT_EQ(producer_.commit(open_claim, 50), Status::kOk);
  EXPECT_FALSE(reader->producer_gone());
  producer_.close();
  EXPECT_TRUE(reader->producer_gone()) << "the living child holds the lock";
  ::close(hold[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(QueueDirectory, ASecondAgentIsRefusedByPid) {
  TempQueue queue;
  queue.open();
  const auto second = shm::QueueDirectory::open(queue.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, core::ErrorCode::kBusy);
  EXPECT_NE(second.error().message.find(std::to_string(getpid())), std::string::npos)
      << second.error().message;
  queue.close();
  EXPECT_TRUE(shm::QueueDirectory::open(queue.path()));
}

TEST(QueueDirectory, SymlinksAndOpenParentsAreRefused) {
  TempQueue queue;
  queue.open();
  const std::string link = queue.path() + "-link";
  ASSERT_EQ(symlink(queue.path().c_str(), link.c_str()), 0);
  EXPECT_EQ(shm::QueueDirectory::open(link).error().code, core::ErrorCode::kPermission);
  const std::string parent = queue.path() + "-parent";
  ASSERT_EQ(mkdir(parent.c_str(), 0700), 0);
  ASSERT_EQ(chmod(parent.c_str(), 0777), 0);
  const auto refused = shm::QueueDirectory::open(parent + "/queue");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, core::ErrorCode::kPermission);
  ASSERT_EQ(chmod(parent.c_str(), 01777), 0);
  EXPECT_TRUE(shm::QueueDirectory::open(parent + "/queue"));
}

TEST(QueueDirectory, AnotherOwnerIsRefusedAndSquattersAreRemoved) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  TempQueue queue;
  queue.open();
  queue.close();
  // Somebody in the group was quicker than the agent, with its lock file and its page.
  for (const char* name : {"/agent.lock", "/control"}) {
    std::filesystem::remove(queue.path() + name);
    ASSERT_EQ(symlink("/etc/passwd", (queue.path() + name).c_str()), 0);
  }
  EXPECT_TRUE(shm::QueueDirectory::open(queue.path()));
  ASSERT_EQ(chown(queue.path().c_str(), kNobody, kNobody), 0);
  const auto refused = shm::QueueDirectory::open(queue.path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, core::ErrorCode::kPermission);
}

TEST(QueueDirectory, ChangedTellsOfLanesThatComeAndGo) {
  TempQueue queue;
  shm::QueueDirectory& directory = queue.open();
  EXPECT_TRUE(directory.changed());
  ASSERT_TRUE(directory.lanes());
  EXPECT_FALSE(directory.changed());
  Producer producer;
  ASSERT_EQ(producer.open(queue.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
  EXPECT_TRUE(directory.changed());
  const auto lanes = directory.lanes();
  ASSERT_EQ(lanes->size(), 1U);
  ASSERT_TRUE(directory.remove(lanes->front()));
  EXPECT_TRUE(directory.changed());
  EXPECT_TRUE(directory.lanes()->empty());
  EXPECT_TRUE(directory.remove(lanes->front())) << "already gone is gone";
}

}  // namespace
}  // namespace spillway::tests
