#include "shm/producer/lane_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/format/checksum.h"
#include "shm/producer/failure.h"
#include "shm/producer/lane_identity.h"
#include "spillway/core/step.h"

namespace spillway::shm {

namespace {

constexpr mode_t kLaneMode = 0660;
constexpr int kNameBytes = 64;
constexpr int kProcPathBytes = 32;

std::size_t file_bytes(std::uint64_t capacity) {
  return kLaneDataOffset + static_cast<std::size_t>(capacity);
}

std::uint64_t boottime_ns() {
  struct timespec now {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// An OFD write lock over the whole file: the kernel frees it when the last copy of the descriptor
/// goes.
bool lock_file(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/// Reserves every byte and makes it present, so that neither a full tmpfs nor a first touch is met
/// later.
Status fill_file(LaneFile& lane, const char* path) {
  const std::size_t bytes = file_bytes(lane.capacity);
  if (fchmod(lane.fd, kLaneMode) != 0)
    return failed_call(errno, "cannot set the mode of a lane in", path);
  SPILLWAY_STEP("lane_file.mode_set");
  if (!lock_file(lane.fd)) return failed_call(errno, "cannot lock a new lane in", path);
  SPILLWAY_STEP("lane_file.locked");
  // Beyond a limit on file sizes the kernel does not only refuse, it kills (SIGXFSZ).
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes) {
    return failed_call(EFBIG, "cannot reserve a lane in", path);
  }
  if (const int error = posix_fallocate(lane.fd, 0, static_cast<off_t>(bytes)); error != 0) {
    return failed_call(error, "cannot reserve a lane in", path);
  }
  SPILLWAY_STEP("lane_file.reserved");
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, lane.fd, 0);
  if (address == MAP_FAILED) return failed_call(errno, "cannot map a lane in", path);
  lane.mapping = static_cast<LaneMapping*>(address);
  madvise(address, bytes, MADV_DONTFORK);
#ifdef MADV_POPULATE_WRITE
  if (madvise(address, bytes, MADV_POPULATE_WRITE) == 0) return Status::kOk;
#endif
  // An older kernel: nobody else has the file yet, and it is all zero, so a store of 0 changes
  // nothing.
  auto* first = static_cast<volatile char*>(address);
  for (std::size_t at = 0; at < bytes; at += kProducerLineOffset) first[at] = 0;
  return Status::kOk;
}

void write_header(LaneFile& lane, const format::LaneIdentity& identity, bool fencing) {
  format::LaneHeader header(kLaneFileMagic, kLaneFileVersion, kLaneDataOffset, 0, lane.capacity,
                            identity);
  const std::span<const std::byte> all(reinterpret_cast<const std::byte*>(&header), sizeof header);
  header.mutate_checksum(core::xxh3(all.subspan(kUncheckedHeaderBytes), 0));
  std::memcpy(lane.mapping->page0, &header, sizeof header);
  SPILLWAY_STEP("lane_file.header_written");
  lane.mapping->producer.fencing.store(fencing ? 1 : 0, std::memory_order_relaxed);
  SPILLWAY_STEP("lane_file.fencing");
}

/// Names sort by the time of making, so that a listing is already in the order in which lanes are
/// to be drained.
void write_name(char* name, std::uint64_t created_ns, std::uint64_t lane_id, const char* ending) {
  std::snprintf(name, kNameBytes, "%016llx-%016llx.%s", static_cast<unsigned long long>(created_ns),
                static_cast<unsigned long long>(lane_id), ending);
}

/// A file without a name where the file system can do that; else one whose name does not end like a
/// lane's.
int open_unnamed(int lanes_fd, const char* draft_name, bool& has_draft) {
  has_draft = false;
  const int fd = openat(lanes_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kLaneMode);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  has_draft = true;
  return openat(lanes_fd, draft_name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                kLaneMode);
}

bool give_name(int lanes_fd, int fd, const char* draft_name, bool has_draft, const char* name) {
  if (has_draft) return renameat(lanes_fd, draft_name, lanes_fd, name) == 0;
  char unnamed[kProcPathBytes];
  std::snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, unnamed, lanes_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

}  // namespace

Status make_lane_file(int lanes_fd, const char* lanes_path, const char* topic,
                      const ProducerOptions& options, bool fencing, LaneFile& lane) {
  format::LaneIdentity identity;
  Status status = fill_identity(topic, options, identity, lane.capacity);
  if (status != Status::kOk) return status;
  if (getrandom(&lane.lane_id, sizeof lane.lane_id, 0) != sizeof lane.lane_id) {
    return failed_call(errno, "cannot get random bits for", "a lane's id");
  }
  identity.mutate_lane_id(lane.lane_id);
  identity.mutate_created_boottime_ns(boottime_ns());
  lane.record_bytes_max = identity.max_record_bytes();
  lane.tick_clock = static_cast<TickClock>(identity.clock_kind());

  char name[kNameBytes];
  char draft_name[kNameBytes];
  write_name(name, identity.created_boottime_ns(), lane.lane_id, "lane");
  write_name(draft_name, identity.created_boottime_ns(), lane.lane_id, "draft");
  bool has_draft = false;
  lane.fd = open_unnamed(lanes_fd, draft_name, has_draft);
  if (lane.fd < 0) return failed_call(errno, "cannot make a lane in", lanes_path);
  SPILLWAY_STEP("lane_file.made");
  status = fill_file(lane, lanes_path);
  if (status == Status::kOk) {
    write_header(lane, identity, fencing);
    if (give_name(lanes_fd, lane.fd, draft_name, has_draft, name)) {
      SPILLWAY_STEP("lane_file.named");
      return Status::kOk;
    }
    status = failed_call(errno, "cannot name a lane in", lanes_path);
  }
  if (has_draft) unlinkat(lanes_fd, draft_name, 0);
  release_lane_file(lane.mapping, lane.capacity, lane.fd);
  lane = {};
  return status;
}

void release_lane_file(LaneMapping* mapping, std::uint64_t capacity, int fd) {
  if (mapping != nullptr) munmap(mapping, file_bytes(capacity));
  SPILLWAY_STEP("lane_file.unmapped");
  if (fd >= 0) close(fd);
  SPILLWAY_STEP("lane_file.released");
}

}  // namespace spillway::shm
