#include "spillway/shm/lane_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstring>

#include "core/env/bus_guard.h"
#include "shm/lane/futex.h"
#include "shm/lane/lane_layout.h"
#include "shm/queue/descriptor.h"
#include "spillway/core/assert.h"
#include "spillway/core/step.h"
#include "spillway/fence.h"
#include "spillway/ticks.h"

namespace spillway::shm {

namespace {

namespace bip = boost::interprocess;
using core::ErrorCode;
using core::Result;
using core::env::BusGuard;

/// Opens a lane without following, blocking on, or creating anything: what stands there is somebody
/// else's doing.
Result<Descriptor> open_lane(const std::string& path, std::uint64_t& size) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!file) return core::fail_errno(errno, "cannot open lane " + path);
  struct stat status {};
  if (fstat(file.get(), &status) != 0)
    return core::fail_errno(errno, "cannot examine lane " + path);
  // A second name would let its maker hand us a file that is not a lane of his.
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1) {
    return core::fail(ErrorCode::kCorrupt, "lane " + path + " is not a plain file with one name");
  }
  size = static_cast<std::uint64_t>(status.st_size);
  return file;
}

Result<format::LaneHeader> read_header(int fd, const std::string& path, std::uint64_t size) {
  format::LaneHeader header;
  const ssize_t got = pread(fd, &header, sizeof header, 0);
  if (got < 0) return core::fail_errno(errno, "cannot read lane " + path);
  if (static_cast<std::size_t>(got) != sizeof header) {
    return core::fail(ErrorCode::kCorrupt, "lane " + path + " is too short for a header");
  }
  if (auto checked = core::check_lane_header(header, size); !checked) {
    return core::fail(checked.error().code, "lane " + path + ": " + checked.error().message);
  }
  return header;
}

class MappedLaneReader final : public LaneReader {
 public:
  MappedLaneReader(std::string path, Descriptor file, bip::mapped_region region,
                   const format::LaneHeader& header)
      : path_(std::move(path)),
        file_(std::move(file)),
        region_(std::move(region)),
        identity_(header.identity()),
        capacity_(static_cast<std::size_t>(header.capacity())),
        ring_(lane().data(), capacity_, header.identity().max_record_bytes(),
              lane().agent.consumed) {}

  [[nodiscard]] bool guard() { return guard_.guard(region_.get_address(), region_.get_size()); }

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] const format::LaneIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t capacity() const override { return capacity_; }

  [[nodiscard]] Result<void> resume(std::uint64_t spilled_end) override;
  [[nodiscard]] Walk walk(std::uint64_t bytes_max) override;
  void consume(std::uint64_t lane_end) override;
  void refuse(std::uint64_t lane_end) override;
  void set_durable(std::uint64_t lane_end) override;

  [[nodiscard]] std::uint64_t position() const override { return ring_.position(); }
  [[nodiscard]] std::uint64_t rejected() const override {
    return lane().producer.rejected.load(std::memory_order_relaxed) + refused_;
  }
  [[nodiscard]] std::uint64_t flush_wanted() const override {
    // SYNC flush_wanted: pairs with Producer::flush_until.
    return lane().producer.flush_wanted.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool producer_waits() const override {
    return lane().producer.waiting.load(std::memory_order_relaxed) != 0;
  }
  [[nodiscard]] bool fencing() const override {
    return lane().producer.fencing.load(std::memory_order_relaxed) != 0;
  }
  [[nodiscard]] bool producer_gone() override;

  void set_stream_full(bool full) override {
    lane().agent.stream_full.store(full ? 1 : 0, std::memory_order_relaxed);
    SPILLWAY_STEP("lane.stream_full");
  }
  void set_quarantined() override {
    lane().agent.quarantined.store(1, std::memory_order_release);
    SPILLWAY_STEP("lane.quarantined");
    wake_producer();
  }

 private:
  [[nodiscard]] LaneMapping& lane() const {
    return *static_cast<LaneMapping*>(region_.get_address());
  }
  void answer_producer();
  void wake_producer();

  std::string path_;
  Descriptor file_;
  bip::mapped_region region_;
  BusGuard guard_;
  format::LaneIdentity identity_;
  std::size_t capacity_;
  RingReader ring_;
  std::uint64_t refused_ = 0;      // the agent's own copies
  std::uint64_t refused_end_ = 0;  // as it stands in the lane
  bool gone_ = false;
};

/// Frames end at multiples of 16: what is free below carries the low bits of a count.
constexpr std::uint64_t kCountMask = core::kFrameAlignment - 1;

Result<void> MappedLaneReader::resume(std::uint64_t spilled_end) {
  if (const char* rule = ring_.resume(spilled_end)) {
    return core::fail(ErrorCode::kCorrupt, "lane " + path_ + ": " + rule);
  }
  refused_ = lane().agent.refused.load(std::memory_order_relaxed);
  refused_end_ = lane().agent.refused_end.load(std::memory_order_relaxed);
  // The agent before died between the two: the record is counted, and may still be to pass over.
  if ((refused_end_ & kCountMask) != (refused_ & kCountMask)) {
    lane().agent.refused.store(++refused_, std::memory_order_relaxed);
  }
  wake_producer();
  return {};
}

Walk MappedLaneReader::walk(std::uint64_t bytes_max) {
  const Walk walk = ring_.walk(bytes_max);
  if (!guard_.hit()) return walk;
  return {{}, ring_.position(), WalkEnd::kDamaged, "its file was truncated"};
}

void MappedLaneReader::consume(std::uint64_t lane_end) {
  SPILLWAY_ASSERT(lane_end >= ring_.position() && lane_end - ring_.position() <= capacity_);
  // SYNC reached: pairs with Producer::flush_until, too.
  ring_.consume(lane_end);
  answer_producer();
}

void MappedLaneReader::refuse(std::uint64_t lane_end) {
  if ((refused_end_ & ~kCountMask) != lane_end) {
    ++refused_;
    refused_end_ = lane_end | (refused_ & kCountMask);
    // SYNC refused: pairs with Producer::refused, by way of `consumed`.
    lane().agent.refused_end.store(refused_end_, std::memory_order_release);
    lane().agent.refused.store(refused_, std::memory_order_release);
  }
  consume(lane_end);
}

void MappedLaneReader::set_durable(std::uint64_t lane_end) {
  // SYNC reached: pairs with Producer::flush_until.
  lane().agent.durable.store(lane_end, std::memory_order_release);
  SPILLWAY_STEP("lane.durable");
  answer_producer();
}

void MappedLaneReader::answer_producer() {
  // The producer announces, fences, looks; here: stores, fences, looks whether somebody announced.
  // One of them sees.
  full_fence();
  if (lane().producer.waiting.load(std::memory_order_relaxed) != 0) wake_producer();
}

void MappedLaneReader::wake_producer() {
  lane().agent.event.fetch_add(1, std::memory_order_release);
  SPILLWAY_STEP("lane.event");
  futex_wake(lane().agent.event);
  SPILLWAY_STEP("lane.woken");
}

bool MappedLaneReader::producer_gone() {
  if (gone_) return true;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  gone_ = fcntl(file_.get(), F_OFD_SETLK, &lock) == 0;
  if (gone_) SPILLWAY_STEP("lane.locked");
  return gone_;
}

}  // namespace

Result<std::unique_ptr<LaneReader>> LaneReader::attach(const std::string& path) {
  std::uint64_t size = 0;
  SPILLWAY_TRY(file, open_lane(path, size));
  SPILLWAY_TRY(header, read_header(file.get(), path, size));
  try {
    // By descriptor, not by Boost.Interprocess' file_mapping: that one opens by name, and the name
    // may by now be another file than the one that was checked, or a symlink.
    bip::mapped_region region(file, bip::read_write, 0, static_cast<std::size_t>(size));
    auto reader =
        std::make_unique<MappedLaneReader>(path, std::move(file), std::move(region), header);
    if (!reader->guard()) {
      return core::fail(ErrorCode::kFull, "cannot guard lane " + path + ": more than " +
                                              std::to_string(BusGuard::kMappingsMax) + " lanes");
    }
    return reader;
  } catch (const bip::interprocess_exception& exception) {
    return core::fail(ErrorCode::kIo, "cannot map lane " + path + ": " + exception.what());
  }
}

std::uint64_t read_ticks(format::ClockKind kind) {
  switch (kind) {
#if defined(__x86_64__)
    case format::ClockKind::tsc:
      return read_tick_clock(TickClock::kTsc);
#elif defined(__aarch64__)
    case format::ClockKind::cntvct:
      return read_tick_clock(TickClock::kCntvct);
#endif
    case format::ClockKind::monotonic_coarse:
      return read_tick_clock(TickClock::kMonotonicCoarse);
    default:
      return 0;  // another machine's counter, or none
  }
}

}  // namespace spillway::shm
