#include "spillway/shm/queue_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "shm/lane/default_directory.h"
#include "shm/lane/lane_layout.h"
#include "shm/queue/descriptor.h"
#include "shm/queue/queue_rooms.h"
#include "shm/queue/schema_room.h"
#include "spillway/core/format.h"
#include "spillway/core/step.h"
#include "spillway/fence.h"

namespace spillway::shm {

namespace {

namespace bip = boost::interprocess;
using core::ErrorCode;
using core::Result;

constexpr std::size_t kQuarantineMax = 64;
/// Whatever inotify may miss is found after so long.
constexpr std::uint64_t kRescanNs = 1'000'000'000;
/// Without a watch there are no rings: the agent never sleeps longer than this.
constexpr std::uint64_t kBlindWaitNs = 5'000'000;
constexpr std::uint32_t kLanesChange = IN_CREATE | IN_DELETE | IN_MOVE;
/// A ring is a write to a lane file by system call; a producer's death closes its file.
constexpr std::uint32_t kRing = IN_MODIFY | IN_CLOSE_WRITE;
constexpr std::string_view kLaneEnding = ".lane";

std::uint64_t now_ns(clockid_t clock) {
  struct timespec now {};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

class PosixQueueDirectory final : public QueueDirectory {
 public:
  PosixQueueDirectory(std::string path, Descriptor lock, bip::mapped_region control)
      : path_(std::move(path)),
        lanes_path_(path_ + "/lanes"),
        lock_(std::move(lock)),
        control_(std::move(control)),
        watch_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (watch_ && inotify_add_watch(watch_.get(), lanes_path_.c_str(),
                                    kLanesChange | kRing | IN_ONLYDIR) < 0) {
      watch_ = Descriptor();
    }
  }
  ~PosixQueueDirectory() override { disarm(); }

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] Result<std::vector<std::string>> lanes() override;
  [[nodiscard]] bool changed() override;
  [[nodiscard]] Result<void> quarantine(const std::string& lane_path) override;
  [[nodiscard]] Result<void> remove(const std::string& lane_path) override;

  [[nodiscard]] Result<std::vector<std::byte>> read_schema(std::uint64_t fingerprint) override {
    return shm::read_schema(path_, fingerprint);
  }
  void remove_schema(std::uint64_t fingerprint) override { shm::remove_schema(path_, fingerprint); }
  void tidy_schemas(const std::set<std::uint64_t>& named) override {
    shm::tidy_schemas(path_, named);
  }

  void arm() override;
  [[nodiscard]] bool wait(std::uint64_t timeout_ns) override;
  void disarm() override {
    control_word(kArmedOffset).store(0, std::memory_order_release);
    SPILLWAY_STEP("control.awake");
  }
  [[nodiscard]] std::uint64_t rings() const override { return rings_; }

 private:
  [[nodiscard]] core::Atomic<std::uint32_t>& control_word(std::size_t offset) const {
    return *reinterpret_cast<core::Atomic<std::uint32_t>*>(
        static_cast<std::byte*>(control_.get_address()) + offset);
  }
  void read_events();

  std::string path_;
  std::string lanes_path_;
  Descriptor lock_;  // held for as long as this lives
  bip::mapped_region control_;
  Descriptor watch_;  // inotify; none: only the rescan
  bool dirty_ = true;
  bool stirred_ = false;  // the watch had an event since the last arming
  std::uint64_t scanned_ns_ = 0;
  std::vector<std::string> found_;
  std::uint64_t rings_ = 0;
};

void PosixQueueDirectory::read_events() {
  // Read to the last event, but at most so often: whoever makes and removes files in a loop cannot
  // hold the agent.
  constexpr int kReadsMax = 16;
  alignas(struct inotify_event) std::array<char, 4096> events;
  for (int i = 0; watch_ && i < kReadsMax; ++i) {
    const ssize_t got = read(watch_.get(), events.data(), events.size());
    if (got <= 0) return;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      struct inotify_event event {};
      std::memcpy(&event, events.data() + at, sizeof event);
      stirred_ = true;
      // Anything but a ring: an overflow of the watch, too, or its end.
      if ((event.mask & kRing) == 0) dirty_ = true;
      at += sizeof event + event.len;
    }
  }
}

bool PosixQueueDirectory::changed() {
  read_events();
  if (!dirty_ && now_ns(CLOCK_MONOTONIC) - scanned_ns_ >= kRescanNs) dirty_ = true;
  return dirty_;
}

Result<std::vector<std::string>> PosixQueueDirectory::lanes() {
  if (!changed()) return found_;
  // The events are read before the scan: what comes during it makes the next call scan again.
  SPILLWAY_TRY(names, list_names(lanes_path_));
  found_.clear();
  for (const std::string& name : names) {
    if (name.ends_with(kLaneEnding)) found_.push_back(lanes_path_ + "/" + name);
  }
  dirty_ = false;
  scanned_ns_ = now_ns(CLOCK_MONOTONIC);
  return found_;
}

Result<void> PosixQueueDirectory::quarantine(const std::string& lane_path) {
  struct stat status {};
  if (lstat(lane_path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return core::fail(ErrorCode::kInvalidArgument,
                      "lane " + lane_path + " is a directory: it stays where it is");
  }
  const std::string room = path_ + "/quarantine";
  SPILLWAY_TRY(names, list_names(room));
  // Names begin with the time of setting aside, so the first one is the oldest.
  for (std::size_t i = 0; i + kQuarantineMax <= names.size(); ++i) {
    // What cannot be removed must not jam the rest.
    std::error_code ignored;
    std::filesystem::remove_all(room + "/" + names[i], ignored);
    SPILLWAY_STEP("queue.oldest_removed");
  }
  std::array<char, 32> stamp{};
  std::snprintf(stamp.data(), stamp.size(), "%016llx-",
                static_cast<unsigned long long>(now_ns(CLOCK_BOOTTIME)));
  const std::string target =
      room + "/" + stamp.data() + lane_path.substr(lane_path.find_last_of('/') + 1);
  if (rename(lane_path.c_str(), target.c_str()) != 0) {
    return core::fail_errno(errno, "cannot set lane " + lane_path + " aside as " + target);
  }
  SPILLWAY_STEP("queue.quarantined");
  dirty_ = true;
  return {};
}

Result<void> PosixQueueDirectory::remove(const std::string& lane_path) {
  if (unlink(lane_path.c_str()) != 0 && errno != ENOENT) {
    return core::fail_errno(errno, "cannot remove lane " + lane_path);
  }
  SPILLWAY_STEP("queue.removed");
  dirty_ = true;
  return {};
}

void PosixQueueDirectory::arm() {
  // Never the same twice, not even over a restart: a producer rings once for each value.
  auto& armings = control_word(kArmingsOffset);
  std::uint32_t arming = armings.load(std::memory_order_relaxed) + 1;
  if (arming == 0) arming = 1;
  armings.store(arming, std::memory_order_relaxed);
  SPILLWAY_STEP("control.armings");
  stirred_ = false;
  control_word(kArmedOffset).store(arming, std::memory_order_seq_cst);
  SPILLWAY_STEP("control.armed");
  // SYNC doorbell: stands in for the fence that a commit leaves out between its store and its load
  // of `armed`. Where it is not to be had, producers cannot register either, and fence by
  // themselves.
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) != 0) {
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    full_fence();
  }
}

bool PosixQueueDirectory::wait(std::uint64_t timeout_ns) {
  // A ring that was read since the arming counts although its record may have been drained before:
  // its producer will not ring again for this arming.
  if (stirred_) {
    ++rings_;
    return true;
  }
  const std::uint64_t sleep_ns = watch_ ? timeout_ns : std::min(timeout_ns, kBlindWaitNs);
  const struct timespec timeout {
    static_cast<time_t>(sleep_ns / 1'000'000'000U), static_cast<long>(sleep_ns % 1'000'000'000U)
  };
  struct pollfd watched {
    watch_.get(), POLLIN, 0  // without a watch: -1, which poll passes over
  };
  const bool rung = ppoll(&watched, 1, &timeout, nullptr) > 0;
  if (rung) ++rings_;
  return rung;
}

/// The page outlives the agent: producers map it once. Its word is stored to, its identity written
/// anew.
Result<bip::mapped_region> map_control(const std::string& path) {
  const std::string name = path + "/control";
  SPILLWAY_TRY(file, open_own_file(name, 0644));
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return core::fail_errno(errno, "cannot examine " + name);
  if (status.st_size < static_cast<off_t>(kControlBytes)) {
    const int error = posix_fallocate(file.get(), 0, kControlBytes);
    if (error != 0) return core::fail_errno(error, "cannot reserve " + name);
  }
  SPILLWAY_TRY(boot, read_boot_id());
  try {
    // By descriptor, as for a lane: the name may be anybody's by now.
    bip::mapped_region region(file, bip::read_write, 0, kControlBytes);
    auto* control = static_cast<format::QueueControl*>(region.get_address());
    control->mutate_armed(0);
    SPILLWAY_STEP("control.disarmed");
    control->mutate_version(core::kFormatVersion);
    control->mutate_agent_pid(static_cast<std::uint32_t>(getpid()));
    core::set_uuid(*control->mutable_boot_id(), boot);
    SPILLWAY_STEP("control.identified");
    // A producer takes the page only with its magic, so that comes last.
    reinterpret_cast<core::Atomic<std::uint64_t>*>(region.get_address())
        ->store(core::kBellMagic, std::memory_order_release);
    SPILLWAY_STEP("control.published");
    return region;
  } catch (const bip::interprocess_exception& exception) {
    return core::fail(ErrorCode::kIo, "cannot map " + name + ": " + exception.what());
  }
}

}  // namespace

Result<std::unique_ptr<QueueDirectory>> QueueDirectory::open(const std::string& path) {
  SPILLWAY_CHECKED(make_rooms(path));
  SPILLWAY_TRY(lock, lock_queue(path));
  SPILLWAY_TRY(control, map_control(path));
  return std::make_unique<PosixQueueDirectory>(path, std::move(lock), std::move(control));
}

std::string default_queue_directory() {
  std::array<char, PATH_MAX> path{};
  write_default_queue_directory(path.data(), path.size());
  return path.data();
}

}  // namespace spillway::shm
