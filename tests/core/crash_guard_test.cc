// What kills whoever reads it: after three processes the fourth sets it aside and starts. The
// processes really die.
#include "spillway/core/crash_guard.h"

#include <signal.h>
#include <sys/wait.h>

#include <functional>

#include "forwarding_env.h"
#include "spill_helpers.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/verify.h"

namespace spillway::core {
namespace {

using testing::value_of;

/// By the signal itself: a sanitizer would make an exit of it.
void crash() {
  ::signal(SIGSEGV, SIG_DFL);
  ::raise(SIGSEGV);
}

/// Runs `work` in a process of its own; the signal that it died of, or 0.
int died_of(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "it could not do its work";
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

class CrashGuardTest : public ::testing::Test {
 protected:
  int work_on(const std::string& name, bool dies) {
    return died_of([&] {
      CrashGuard guard(env_, path_);
      guard.begin("before");
      guard.begin(name);
      if (dies) crash();
      guard.done();
    });
  }
  env::Env& env_ = env::posix_env();
  testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/at-work";
};

TEST_F(CrashGuardTest, CountsProcessesThatDiedInARowInTheSameWork) {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(work_on("a", true), SIGSEGV);
  EXPECT_FALSE(CrashGuard(env_, path_).is_deadly("a")) << "twice is not enough";
  EXPECT_EQ(work_on("a", false), 0) << "and it may go well again";
  EXPECT_FALSE(value_of(env_.exists(path_))) << "who did not die leaves no file";
  for (int i = 0; i < 2; ++i) EXPECT_EQ(work_on("a", true), SIGSEGV);
  EXPECT_EQ(work_on("b", true), SIGSEGV) << "another one between";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(work_on("a", true), SIGSEGV);
  EXPECT_FALSE(CrashGuard(env_, path_).is_deadly("b"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(work_on("a", true), SIGSEGV);
  EXPECT_TRUE(CrashGuard(env_, path_).is_deadly("a"));
}

TEST_F(CrashGuardTest, APowerCutIsNobodysFault) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(work_on("a", true), SIGSEGV);
  auto file = value_of(env_.open(path_, env::OpenMode::kReadWrite));
  value_of(file->write(0, std::as_bytes(std::span("0123", 4))));  // another boot's id
  EXPECT_FALSE(CrashGuard(env_, path_).is_deadly("a"));
}

TEST_F(CrashGuardTest, RubbishInItsFileIsNoFile) {
  for (const std::string& text : {std::string(), std::string("x"), env_.boot_id().text() + " ",
                                  env_.boot_id().text() + " 3\n", env_.boot_id().text() + " x a\n",
                                  env_.boot_id().text() + " 99999999999999 a\n"}) {
    value_of(env::replace_file(env_, path_, std::as_bytes(std::span(text))));
    EXPECT_FALSE(CrashGuard(env_, path_).is_deadly("a")) << text;
  }
}

/// Dies at the first read of one file's blocks.
class DeadlyFile final : public testing::ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) const override {
    if (offset >= kSegmentHeaderBytes) crash();
    return ForwardingFile::read(offset, into);
  }
};

class DeadlyEnv final : public testing::ForwardingEnv {
 public:
  explicit DeadlyEnv(std::string deadly) : deadly_(std::move(deadly)) {}
  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override {
    auto file = ForwardingEnv::open(path, mode);
    if (!file || path != deadly_) return file;
    return std::unique_ptr<env::File>(std::make_unique<DeadlyFile>(std::move(*file)));
  }

 private:
  std::string deadly_;
};

class DeadlySegmentTest : public ::testing::Test {
 protected:
  DeadlySegmentTest() : options_(testing::small_options(directory_.path())) {
    auto stream = value_of(Stream::open(env::posix_env(), options_));
    value_of(stream->declare_lane(testing::make_identity(1), 0, 0, false));
    for (int i = 0; i < 150; ++i) {
      value_of(testing::append_records(*stream, 1, {std::string(1000, 'x')}));
    }
    value_of(stream->close());
    stream.reset();
    segments_ = value_of(verify_stream(env::posix_env(), options_.directory)).segments;
  }

  /// Three agents die of it, the fourth starts.
  void kill_three_with(const std::string& path) {
    DeadlyEnv env(path);
    for (std::uint32_t i = 0; i < CrashGuard::kCrashesMax; ++i) {
      EXPECT_EQ(died_of([&] { static_cast<void>(Stream::open(env, options_)); }), SIGSEGV);
      EXPECT_TRUE(value_of(env.exists(path))) << "set aside after " << i << " crashes";
    }
    auto stream = Stream::open(env, options_);
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_NE((*stream)->recovery().set_aside.find(path), std::string::npos);
    EXPECT_FALSE(value_of(env.exists(path)));
    EXPECT_TRUE(value_of(env.exists(path + ".damaged")));
    value_of((*stream)->declare_lane(testing::make_identity(1), 0, 0, false));
    value_of(testing::append_records(**stream, 1, {"goes on"}));
  }

  testing::TemporaryDirectory directory_;
  StreamOptions options_;
  std::vector<SegmentReport> segments_;
};

TEST_F(DeadlySegmentTest, TheNewestSegmentIsSetAsideAndItsOffsetsAreAnExactGap) {
  kill_three_with(segments_.back().path);
  const auto back = testing::read_all(env::posix_env(), options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].first_offset, segments_.back().base_offset);
  EXPECT_EQ(back.gaps[0].next_offset, 150U);
  EXPECT_EQ(back.records.at(150), "goes on");
  EXPECT_TRUE(value_of(verify_stream(env::posix_env(), options_.directory)).ok());
}

TEST_F(DeadlySegmentTest, AnEarlierSegmentIsSetAsideAloneAndNothingElseIsLost) {
  // With the newest one gone its predecessor is read at start.
  value_of(env::posix_env().remove(segments_.back().path));
  const SegmentReport& deadly = segments_[segments_.size() - 2];
  kill_three_with(deadly.path);
  const auto back = testing::read_all(env::posix_env(), options_.directory);
  ASSERT_EQ(back.gaps.size(), 1U);
  EXPECT_EQ(back.gaps[0].first_offset, deadly.base_offset);
  EXPECT_EQ(back.records.size(), deadly.base_offset + 1);
}

}  // namespace
}  // namespace spillway::core
