// The cold half of Producer: open, close, waiting, the doorbell.
#include "spillway/producer.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <ctime>

#include "shm/lane/default_directory.h"
#include "shm/lane/futex.h"
#include "shm/lane/lane_layout.h"
#include "shm/producer/failure.h"
#include "shm/producer/fork_guard.h"
#include "shm/producer/lane_file.h"
#include "shm/producer/lane_identity.h"
#include "shm/producer/schema_file.h"
#include "spillway/core/step.h"

namespace spillway {

namespace {

using Word = core::Atomic<std::uint32_t>;

/// Stands in for the doorbell's word while there is no control page: nobody ever stores to it.
constinit const Word kNoBell{0};

/// Longest sleep between two looks at the agent's line (rule 7): an agent that died cannot hold a
/// producer longer.
constexpr std::uint64_t kNapNs = 100'000'000;
constexpr std::uint64_t kRefusalsBetweenBells = 1024;

/// The agent's side of a doorbell without a fence. False: each commit of this process must fence.
bool register_for_membarrier() {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

std::uint64_t nanoseconds_until(Producer::TimePoint deadline) {
  // CLOCK_MONOTONIC is steady_clock; reading it here keeps libstdc++ out of the library.
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t now_ns = static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  const std::int64_t at_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
  return at_ns > now_ns ? static_cast<std::uint64_t>(at_ns - now_ns) : 0;
}

/// Maps <queue>/control if there is one that can be trusted: a plain file of the queue's owner.
const std::byte* map_bell(int queue_fd) {
  const int fd = openat(queue_fd, "control", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return nullptr;
  struct stat page {};
  struct stat queue {};
  void* address = MAP_FAILED;
  if (fstat(fd, &page) == 0 && fstat(queue_fd, &queue) == 0 && S_ISREG(page.st_mode) &&
      page.st_uid == queue.st_uid && page.st_size >= static_cast<off_t>(shm::kControlBytes)) {
    address = mmap(nullptr, shm::kControlBytes, PROT_READ, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (address == MAP_FAILED) return nullptr;
  const auto* control = static_cast<const format::QueueControl*>(address);
  if (control->magic() == shm::kBellPageMagic && control->version() == shm::kLaneFileVersion) {
    return static_cast<const std::byte*>(address);
  }
  munmap(address, shm::kControlBytes);
  return nullptr;
}

}  // namespace

Status Producer::open(const char* queue_dir, const char* topic, const ProducerOptions& options) {
  close();
  shm::clear_failure();
  if (const Status status = shm::ForkGuard::prepare(); status != Status::kOk) return status;
  char queue_path[PATH_MAX];
  if (queue_dir == nullptr) {
    shm::write_default_queue_directory(queue_path, sizeof queue_path);
  } else {
    std::snprintf(queue_path, sizeof queue_path, "%s", queue_dir);
  }
  const int queue_fd = ::open(queue_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (queue_fd < 0) return shm::failed_call(errno, "queue directory", queue_path);
  const int lanes_fd = openat(queue_fd, "lanes", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (lanes_fd < 0) {
    const Status status = shm::failed_call(errno, "lanes of queue directory", queue_path);
    ::close(queue_fd);
    return status;
  }
  const shm::ForkGuard::Hold hold;
  const bool fencing = !register_for_membarrier();
  shm::LaneFile lane;
  ProducerOptions wanted = options;
  // The schema first: whoever finds the lane finds what explains it.
  Status status = shm::leave_schema(queue_fd, queue_path, wanted);
  if (status == Status::kOk) {
    status = shm::make_lane_file(lanes_fd, queue_path, topic, wanted, fencing, lane);
  }
  ::close(lanes_fd);
  if (status != Status::kOk) {
    ::close(queue_fd);
    return status;
  }
  lane_ = lane.mapping;
  ring_ = shm::RingWriter(lane.mapping->data(), lane.capacity, lane.mapping->agent.consumed);
  record_max_ = lane.record_bytes_max;
  tick_clock_ = lane.tick_clock;
  fencing_ = fencing;
  lane_id_ = lane.lane_id;
  fd_ = lane.fd;
  queue_fd_ = queue_fd;
  armed_ = &kNoBell;
  shm::ForkGuard::add(*this);
  attach_bell();
  return Status::kOk;
}

void Producer::close() {
  if (lane_ == nullptr) return;
  const shm::ForkGuard::Hold hold;
  shm::ForkGuard::remove(*this);
  // SYNC closing: a hint only; that the producer is gone is told by its lock.
  lane_->producer.closing.store(1, std::memory_order_release);
  SPILLWAY_STEP("producer.closing");
  if (bell_ != nullptr) munmap(const_cast<std::byte*>(bell_), shm::kControlBytes);
  shm::release_lane_file(lane_, ring_.capacity(), fd_);
  ::close(queue_fd_);
  forget();
}

void Producer::forget() {
  ring_ = shm::RingWriter();
  record_max_ = 0;
  armed_ = &kNoBell;
  fencing_ = false;
  lane_ = nullptr;
  bell_ = nullptr;
  fd_ = queue_fd_ = -1;
  rung_ = 0;
  refused_told_ = 0;
}

Status Producer::refusal_of(std::size_t size) const {
  if (record_max_ == 0) return Status::kClosed;
  return size == 0 ? Status::kInvalid : Status::kTooLarge;
}

Claim Producer::refuse(Status status) {
  ring_.forget_claim();
  if (status == Status::kFull || status == Status::kTooLarge) {
    ++rejected_;
    lane_->producer.rejected.store(rejected_, std::memory_order_relaxed);
    SPILLWAY_STEP("producer.rejected");
  }
  if (status == Status::kFull) {
    // A producer that spins on a full lane before the agent's first start is not to pay for this
    // each time.
    if (bell_ == nullptr && rejected_ % kRefusalsBetweenBells == 1) attach_bell();
    if (lane_->agent.quarantined.load(std::memory_order_relaxed) != 0) status = Status::kSetAside;
  }
  return Claim(status);
}

Claim Producer::claim_until(std::size_t size, TimePoint deadline) {
  if (size - 1 >= record_max_) return refuse(refusal_of(size));
  for (;;) {
    // Rule 7, mirrored: announce, barrier, look again, sleep with a bound; all of it again after
    // any return.
    lane_->producer.waiting.store(1, std::memory_order_relaxed);
    SPILLWAY_STEP("producer.waiting");
    full_fence();
    const std::uint32_t event = lane_->agent.event.load(std::memory_order_acquire);
    std::byte* const room = ring_.claim(size);
    const bool set_aside = lane_->agent.quarantined.load(std::memory_order_relaxed) != 0;
    const bool late = nanoseconds_until(deadline) == 0;
    if (room != nullptr || set_aside || late) {
      lane_->producer.waiting.store(0, std::memory_order_relaxed);
      SPILLWAY_STEP("producer.not_waiting");
      if (room != nullptr) return {room, size};
      const Claim refused = refuse(Status::kFull);
      return set_aside ? refused : Claim(Status::kTimeout);
    }
    wait_for_agent(event, deadline);
  }
}

Status Producer::flush_until(TimePoint deadline, Level level) {
  if (record_max_ == 0) return Status::kClosed;
  if (level == Level::kAccepted) return Status::kOk;
  const bool power = level == Level::kPowerSafe;
  if (!power && level != Level::kProcessSafe) return Status::kInvalid;
  const auto& reached = power ? lane_->agent.durable : lane_->agent.consumed;
  // SYNC flush_wanted: pairs with LaneReader::flush_wanted, which decides to sync early.
  if (power) lane_->producer.flush_wanted.store(ring_.position(), std::memory_order_release);
  SPILLWAY_STEP("producer.flush_wanted");
  Status status = Status::kOk;
  for (;;) {
    lane_->producer.waiting.store(1, std::memory_order_relaxed);
    SPILLWAY_STEP("producer.waiting");
    full_fence();
    const std::uint32_t event = lane_->agent.event.load(std::memory_order_acquire);
    // SYNC reached: pairs with the release stores in LaneReader::consume and set_durable.
    if (reached.load(std::memory_order_acquire) >= ring_.position()) break;
    if (lane_->agent.quarantined.load(std::memory_order_relaxed) != 0) {
      status = Status::kSetAside;
      break;
    }
    if (nanoseconds_until(deadline) == 0) {
      status = Status::kTimeout;
      break;
    }
    wait_for_agent(event, deadline);
  }
  lane_->producer.waiting.store(0, std::memory_order_relaxed);
  SPILLWAY_STEP("producer.not_waiting");
  if (power) lane_->producer.flush_wanted.store(0, std::memory_order_relaxed);
  SPILLWAY_STEP("producer.flush_over");
  const std::uint64_t refused_now = refused();
  if (status != Status::kOk || refused_now == refused_told_) return status;
  refused_told_ = refused_now;
  return Status::kTooLarge;
}

std::uint64_t Producer::refused() const {
  if (record_max_ == 0) return 0;
  // SYNC refused: pairs with LaneReader::refuse.
  return lane_->agent.refused.load(std::memory_order_acquire);
}

std::uint64_t Producer::reached_position(Level level) const {
  if (record_max_ == 0) return 0;
  if (level == Level::kAccepted) return ring_.position();
  const auto& word = level == Level::kPowerSafe ? lane_->agent.durable : lane_->agent.consumed;
  // SYNC reached: as in flush_until.
  return word.load(std::memory_order_acquire);
}

Level Producer::reached() const {
  if (record_max_ == 0) return Level::kAccepted;
  const std::uint64_t position = ring_.position();
  if (reached_position(Level::kPowerSafe) >= position) return Level::kPowerSafe;
  return reached_position(Level::kProcessSafe) >= position ? Level::kProcessSafe : Level::kAccepted;
}

void Producer::wait_for_agent(std::uint32_t event, TimePoint deadline) {
  if (bell_ == nullptr) attach_bell();
  // The agent may be asleep with this lane's records in it, or with a flush it has not seen.
  const std::uint32_t arming = armed_->load(std::memory_order_relaxed);
  if (arming != 0) ring_bell(arming);
  const std::uint64_t left_ns = nanoseconds_until(deadline);
  shm::futex_wait(lane_->agent.event, event, left_ns < kNapNs ? left_ns : kNapNs);
}

void Producer::attach_bell() {
  bell_ = map_bell(queue_fd_);
  if (bell_ == nullptr) return;
  // A child of fork must not find a page that its parent may unmap; it has no use for it either.
  madvise(const_cast<std::byte*>(bell_), shm::kControlBytes, MADV_DONTFORK);
  armed_ = reinterpret_cast<const Word*>(bell_ + shm::kArmedOffset);
}

/// Wakes the agent: once for each time that it lies down, for the event stays with the kernel until
/// the agent has read it. One that was killed in its sleep leaves its bell armed, and costs each
/// producer this one call.
void Producer::ring_bell(std::uint32_t arming) {
  if (arming == rung_) return;
  rung_ = arming;
  const int error = errno;
  // Not through the mapping: the call itself is what the agent's watch reports. It wants no right
  // but the descriptor's own, so a process that has given up its user may ring, too.
  constexpr off_t kRungAt = shm::kProducerLineOffset + offsetof(shm::ProducerLine, rung);
  if (pwrite(fd_, &arming, sizeof arming, kRungAt) < 0) {
    // The agent's sleep has a bound: it comes without being called.
  }
  SPILLWAY_STEP("producer.rung");
  errno = error;
}

}  // namespace spillway
