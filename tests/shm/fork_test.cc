// A fork in the middle of a claim: harmless to the parent, refused clearly in the child, whatever
// the child then does. (tests/faults forks at every moment of open and close, too.)
#include <sys/wait.h>

#include <cstdlib>

#include "tests/shm/queue_fixture.h"

namespace spillway::tests {
namespace {

constexpr std::uint64_t kSmallLane = 16U * 1024;
constexpr std::uint64_t kWalkBytes = 64U * 1024;
constexpr std::size_t kSize = 200;

class ForkInAClaim : public ::testing::Test {
 protected:
  void SetUp() override {
    queue_.open();
    ASSERT_EQ(producer_.open(queue_.path().c_str(), "a", {.lane_bytes = kSmallLane}), Status::kOk);
    ASSERT_EQ(producer_.put(make_record(0, kSize)), Status::kOk);
    reader_ = queue_.attach_only_lane();
    claim_ = producer_.claim(kSize);
    ASSERT_TRUE(claim_);
    fill_record(claim_.bytes().first(kSize / 2), 1);
  }
  /// Forks; `body` is the child's, which ends with its exit code.
  template <typename Body>
  int exit_code_of_child(const Body& body) {
    const pid_t child = fork();
    if (child == 0) std::_Exit(body());
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// The parent goes on where it was: its claim holds, its lane is its own, both records are whole.
  void expect_unharmed() {
    EXPECT_FALSE(reader_->producer_gone()) << "the child's end released the parent's lock";
    fill_record(claim_.bytes(), 1);
    ASSERT_EQ(producer_.commit(claim_, kSize), Status::kOk);
    ASSERT_EQ(producer_.put(make_record(2, kSize)), Status::kOk);
    std::uint64_t next = 0;
    EXPECT_TRUE(for_each_record(
        reader_->walk(kWalkBytes).frames,
        [&next](std::span<const std::byte> record) { EXPECT_TRUE(is_record(record, next++)); }));
    EXPECT_EQ(next, 3U);
    producer_.close();
    EXPECT_TRUE(reader_->producer_gone());
  }

  TempQueue queue_;
  Producer producer_;
  std::unique_ptr<shm::LaneReader> reader_;
  Claim claim_ = Producer().claim(1);
};

TEST_F(ForkInAClaim, EveryCallOfTheChildIsRefusedAndItsEndHarmsNobody) {
  EXPECT_EQ(exit_code_of_child([this] {
              const std::byte byte{};
              const std::span<const std::byte> one(&byte, 1);
              const std::span<const std::byte> all[] = {one};
              const bool refused =
                  !producer_.is_open() && producer_.commit(claim_, kSize) == Status::kClosed &&
                  producer_.claim(1).status() == Status::kClosed &&
                  producer_.put(one) == Status::kClosed && producer_.put_many(all).records == 0 &&
                  producer_.claim_until(1, in(1s)).status() == Status::kClosed &&
                  producer_.flush_until(in(1s), Level::kAccepted) == Status::kClosed;
              return refused ? 0 : 1;
            }),
            0);
  expect_unharmed();
}

TEST_F(ForkInAClaim, AChildThatClosesAndOpensAnewHarmsNobody) {
  EXPECT_EQ(
      exit_code_of_child([this] {
        producer_.close();
        if (producer_.open(queue_.path().c_str(), "b", {.lane_bytes = kSmallLane}) != Status::kOk) {
          return 1;
        }
        const bool put = producer_.put(make_record(9, kSize)) == Status::kOk;
        producer_.close();
        return put ? 0 : 2;
      }),
      0);
  expect_unharmed();
}

TEST_F(ForkInAClaim, AGrandchildIsRefusedToo) {
  EXPECT_EQ(exit_code_of_child([this] {
              return exit_code_of_child([this] {
                return producer_.put(make_record(9, kSize)) == Status::kClosed ? 0 : 1;
              });
            }),
            0);
  expect_unharmed();
}

}  // namespace
}  // namespace spillway::tests
