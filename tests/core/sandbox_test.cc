// The sandbox and the file helper, each in a process of its own, for nothing undoes a sandbox.
#include "spillway/core/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <thread>

#include "spillway/core/env/file_helper.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::core {
namespace {

namespace fs = std::filesystem;

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "spillway-sandbox-XXXXXX";
    ASSERT_NE(nullptr, ::mkdtemp(name.data()));
    root_ = fs::canonical(name);
    for (const char* each : {"inside", "outside"}) fs::create_directory(root_ / each);
  }
  void TearDown() override { fs::remove_all(root_); }

  /// What the child says: its exit code.
  static int in_child(const std::function<int()>& work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  static int error_of(int result) {
    if (result >= 0) ::close(result);
    return result < 0 ? errno : 0;
  }
  int creating(const char* where) const {
    return error_of(::open((root_ / where / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }

  fs::path root_;
};

TEST_F(SandboxTest, RefusesWhatItSaysThatItRefusesAndNothingWhereItSaysThatItIsOff) {
  EXPECT_EQ(0, in_child([] {
              lock_down({});
              const bool is_on = sandbox_in_force().calls == "on";
              if (!is_on && !sandbox_in_force().calls.starts_with("off: ")) return 1;
              if (error_of(::socket(AF_INET, SOCK_DGRAM, 0)) != (is_on ? EACCES : 0)) return 2;
              if (error_of(::socket(AF_UNIX, SOCK_DGRAM, 0)) != 0) return 3;
              return 0;
            }));
}

TEST_F(SandboxTest, TakesInThreadsThatRunAlreadyAndThoseThatAreStartedLater) {
  EXPECT_EQ(0, in_child([] {
              std::atomic<bool> locked{false};
              std::atomic<int> before{-1};
              std::thread early([&] {
                while (!locked) std::this_thread::yield();
                before = error_of(::socket(AF_INET, SOCK_DGRAM, 0));
              });
              lock_down({});
              locked = true;
              early.join();
              int after = -1;
              std::thread([&] { after = error_of(::socket(AF_INET, SOCK_DGRAM, 0)); }).join();
              const int expected = sandbox_in_force().calls == "on" ? EACCES : 0;
              return before == expected && after == expected ? 0 : 1;
            }));
}

TEST_F(SandboxTest, WritesBelowItsDirectoriesAlone) {
  EXPECT_EQ(0, in_child([this] {
              lock_down({Network::kNone, true, {root_ / "inside"}});
              const bool is_on = sandbox_in_force().files.starts_with("written below ");
              if (!is_on && !sandbox_in_force().files.starts_with("off: ")) return 1;
              if (creating("inside") != 0) return 2;
              return creating("outside") == (is_on ? EACCES : 0) ? 0 : 3;
            }));
}

TEST_F(SandboxTest, ADirectoryThatIsNotThereFencesNothingInAndIsNamed) {
  EXPECT_EQ(0, in_child([this] {
              const std::string missing = root_ / "missing";
              lock_down({Network::kNone, true, {root_ / "inside", missing}});
              if (sandbox_in_force().files.find(missing) == std::string::npos) return 1;
              return creating("outside");
            }));
}

TEST_F(SandboxTest, TheGroundIsWhereADirectoryOrItsFileSystemHangs) {
  EXPECT_EQ(root_.string(), ground_of(root_ / "inside"));
  EXPECT_EQ(root_.string(), ground_of(root_ / "not/there/yet"));
  fs::create_directory_symlink(root_ / "inside", root_ / "link");
  EXPECT_EQ((root_ / "inside").string(), ground_of(root_ / "link/below"));
  fs::create_directory_symlink("inside/card/spill",
                               root_ / "to_a_card");  // that is still to be mounted
  EXPECT_EQ((root_ / "inside").string(), ground_of(root_ / "to_a_card"));
  EXPECT_EQ((root_ / "inside").string(), ground_of(root_ / "to_a_card/below/it"));
  EXPECT_EQ("/", ground_of("/proc/spill"));  // below a mount point
  EXPECT_EQ("/", ground_of("/spill"));
}

using env::FileHelper;
using env::OpenMode;

class FileHelperTest : public SandboxTest {
 protected:
  /// One that may touch what is below "inside".
  std::unique_ptr<FileHelper> helper() {
    auto started =
        FileHelper::start([inside = (root_ / "inside").string()](const std::string& path) {
          return path.starts_with(inside + "/");
        });
    EXPECT_TRUE(started);
    return std::move(*started);
  }
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
  }
};

TEST_F(FileHelperTest, ADaemonThatMayOpenNothingForWritingWritesThroughIt) {
  EXPECT_EQ(0, in_child([this] {
              const auto helping = helper();
              lock_down({Network::kNone, false, {}});
              auto& env = helping->env();
              const std::string path = root_ / "inside/below/file";
              if (sandbox_in_force().calls == "on" && creating("inside") != EACCES) return 1;
              if (!env.make_directories(root_ / "inside/below")) return 2;
              if (!env::replace_file(env, path, bytes("one"))) return 3;
              if (!env::replace_file(env, path, bytes("three"))) return 4;
              auto file = env.open(path, OpenMode::kReadWrite);
              if (!file || !(*file)->try_lock() || !(*file)->write(1, bytes("H"))) return 5;
              const auto read = env::read_file(env, path, 100);
              if (!read || read->size() != 5 || (*read)[1] != std::byte{'H'}) return 6;
              if (!env.remove(path) || *env.exists(path)) return 7;
              return 0;
            }));
}

TEST_F(FileHelperTest, RefusesWhatIsNotTheDaemonsHoweverItIsSpelled) {
  const auto helping = helper();
  auto& env = helping->env();
  ASSERT_TRUE(env::replace_file(env, root_ / "inside/file", bytes("x")));
  for (const char* path : {"outside/file", "inside/../outside/file", "inside/./../outside/file",
                           "inside//..//outside/file", "inside", ""}) {
    const std::string whole = root_ / path;
    const auto opened = env.open(whole, OpenMode::kOpenOrCreate);
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(ErrorCode::kPermission, opened.error().code) << opened.error().message;
    EXPECT_EQ(ErrorCode::kPermission, env.rename(root_ / "inside/file", whole).error().code);
    EXPECT_EQ(ErrorCode::kPermission, env.rename(whole, root_ / "inside/other").error().code);
    EXPECT_EQ(ErrorCode::kPermission, env.remove(whole).error().code);
  }
  EXPECT_EQ(ErrorCode::kPermission, env.make_directories(root_ / "outside/new").error().code);
  EXPECT_FALSE(fs::exists(root_ / "outside/file"));
  EXPECT_TRUE(fs::exists(root_ / "inside/file"));
}

TEST_F(FileHelperTest, ItsErrorsAreTheSystemsAndItGoesOn) {
  const auto helping = helper();
  auto& env = helping->env();
  EXPECT_EQ(ErrorCode::kNotFound,
            env.open(root_ / "inside/none", OpenMode::kReadWrite).error().code);
  fs::create_directory(root_ / "inside/directory");
  EXPECT_FALSE(env.open(root_ / "inside/directory", OpenMode::kOpenOrCreate));
  EXPECT_FALSE(env.remove(root_ / "inside" / std::string(20'000, 'x')));
  EXPECT_FALSE(helping->has_died());
  EXPECT_TRUE(env::replace_file(env, root_ / "inside/file", bytes("x")));
}

}  // namespace
}  // namespace spillway::core
