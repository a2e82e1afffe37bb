#include "shm/producer/schema_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "shm/producer/failure.h"
#include "spillway/core/fingerprint.h"

namespace spillway::shm {

namespace {

constexpr mode_t kSchemaMode = 0660;
constexpr int kNameBytes = 64;
/// Where a FlatBuffer says what it is, and what a binary schema says there.
constexpr std::size_t kIdentifierAt = 4;
constexpr char kIdentifier[] = {'B', 'F', 'B', 'S'};

Status check_options(ProducerOptions& options) {
  const auto& schema = options.schema;
  if (schema.size() < kIdentifierAt + sizeof kIdentifier ||
      std::memcmp(schema.data() + kIdentifierAt, kIdentifier, sizeof kIdentifier) != 0) {
    return failed(Status::kInvalid, "schema", "is not a FlatBuffers binary schema",
                  "flatc -b --schema makes one");
  }
  if (schema.size() > core::kSchemaBytesMax) {
    return failed(Status::kInvalid, "schema", "has more than 64 KiB",
                  "leave its comments out, or name it by schema_fingerprint alone");
  }
  const std::uint64_t fingerprint = core::schema_fingerprint(schema);
  if (options.schema_fingerprint != 0 && options.schema_fingerprint != fingerprint) {
    return failed(Status::kInvalid, "schema_fingerprint", "is not that of schema",
                  "leave it 0, and it is found");
  }
  options.schema_fingerprint = fingerprint;
  return Status::kOk;
}

/// False with errno.
bool write_all(int fd, std::span<const std::byte> bytes) {
  // Beyond a limit on file sizes the kernel does not only refuse, it kills (SIGXFSZ).
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes.size()) {
    errno = EFBIG;
    return false;
  }
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

/// A file without a name where the file system can do that, else one under a name that is no
/// schema's.
int open_unnamed(int room_fd, const char* draft, bool& has_draft) {
  has_draft = false;
  const int fd = openat(room_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, kSchemaMode);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  has_draft = true;
  return openat(room_fd, draft, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, kSchemaMode);
}

bool give_name(int room_fd, int fd, const char* draft, bool has_draft, const char* name) {
  if (has_draft) return renameat(room_fd, draft, room_fd, name) == 0;
  char unnamed[kNameBytes];
  std::snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, unnamed, room_fd, name, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST;
}

Status make_file(int room_fd, const char* queue_path, const char* name,
                 std::span<const std::byte> bfbs) {
  std::uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) {
    return failed_call(errno, "cannot get random bits for", "a schema's file");
  }
  char draft[kNameBytes];
  std::snprintf(draft, sizeof draft, "%016llx.draft", static_cast<unsigned long long>(random));
  bool has_draft = false;
  const int fd = open_unnamed(room_fd, draft, has_draft);
  if (fd < 0) return failed_call(errno, "cannot leave a schema in", queue_path);
  // The mode is the group's, whatever the umask: an agent of another user reads it.
  const bool made = fchmod(fd, kSchemaMode) == 0 && write_all(fd, bfbs) &&
                    give_name(room_fd, fd, draft, has_draft, name);
  const int error = errno;
  close(fd);
  if (made) return Status::kOk;
  if (has_draft) unlinkat(room_fd, draft, 0);
  return failed_call(error, "cannot leave a schema in", queue_path);
}

}  // namespace

Status leave_schema(int queue_fd, const char* queue_path, ProducerOptions& options) {
  if (options.schema.empty()) return Status::kOk;
  if (const Status status = check_options(options); status != Status::kOk) return status;
  const int room_fd = openat(queue_fd, "schemas", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (room_fd < 0) return Status::kOk;
  char name[kNameBytes];
  std::snprintf(name, sizeof name, "%016llx.bfbs",
                static_cast<unsigned long long>(options.schema_fingerprint));
  struct stat there {};
  Status status = Status::kOk;
  if (fstatat(room_fd, name, &there, AT_SYMLINK_NOFOLLOW) != 0) {
    status = make_file(room_fd, queue_path, name, options.schema);
  }
  close(room_fd);
  return status;
}

}  // namespace spillway::shm
