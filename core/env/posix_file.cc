#include "core/env/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "core/env/posix_mapping.h"

#ifndef F_OFD_SETLK
#error "open file description locks (F_OFD_SETLK) are needed: compile with _GNU_SOURCE"
#endif

namespace spillway::core::env {

static_assert(sizeof(off_t) == 8, "compile with _FILE_OFFSET_BITS=64");

namespace {

constexpr mode_t kFileMode = 0640;

bool fits_offset(std::uint64_t offset, std::uint64_t size) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  return offset <= kMax && size <= kMax - offset;
}

tl::unexpected<Error> beyond_any_file(const char* what, const std::string& path) {
  return fail(ErrorCode::kInvalidArgument, what + path + ": beyond the largest file there can be");
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  [[nodiscard]] Result<std::size_t> read(std::uint64_t offset,
                                         std::span<std::byte> into) const override {
    if (!fits_offset(offset, into.size())) return beyond_any_file("reading ", path_);
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t got = uninterrupted([&] {
        return ::pread(descriptor_.get(), into.data() + done, into.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return fail_errno(errno, "reading " + path_);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  [[nodiscard]] Result<void> write(std::uint64_t offset,
                                   std::span<const std::byte> bytes) override {
    if (!fits_offset(offset, bytes.size())) return beyond_any_file("writing ", path_);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t put = uninterrupted([&] {
        return ::pwrite(descriptor_.get(), bytes.data() + done, bytes.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (put < 0) return fail_errno(errno, "writing " + path_);
      if (put == 0) return fail(ErrorCode::kIo, "writing " + path_ + ": nothing was taken");
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

  [[nodiscard]] Result<std::uint64_t> size() const override {
    struct stat status {};
    if (::fstat(descriptor_.get(), &status) != 0) {
      return fail_errno(errno, "asking the size of " + path_);
    }
    return static_cast<std::uint64_t>(status.st_size);
  }

  [[nodiscard]] Result<void> allocate(std::uint64_t size) override {
    if (!fits_offset(0, size)) return beyond_any_file("reserving ", path_);
    if (size == 0) return {};
    int error = EINTR;  // posix_fallocate returns its error and leaves errno alone
    while (error == EINTR) {
      error = ::posix_fallocate(descriptor_.get(), 0, static_cast<off_t>(size));
    }
    const std::string what = "reserving " + std::to_string(size) + " bytes for " + path_;
    if (error == EOPNOTSUPP || error == ENODEV) {
      return fail(ErrorCode::kIo, what + ": this file system cannot reserve space; use another");
    }
    if (error != 0) return fail_errno(error, what);
    return {};
  }

  [[nodiscard]] Result<void> sync_data() override {
    // EINTR is no answer about the disk; every other error is one, and is never tried again.
    if (uninterrupted([&] { return ::fdatasync(descriptor_.get()); }) == 0) return {};
    return fail_errno(errno, "syncing " + path_);
  }

  [[nodiscard]] Result<std::unique_ptr<Mapping>> map(std::uint64_t size,
                                                     MapAccess access) override {
    // A store behind the file's end is a SIGBUS, so that is refused here.
    SPILLWAY_TRY(file_size, this->size());
    if (size > file_size) {
      return fail(ErrorCode::kInvalidArgument, "mapping " + path_ + ": " + std::to_string(size) +
                                                   " bytes asked for, the file has " +
                                                   std::to_string(file_size));
    }
    return map_descriptor(descriptor_.get(), size, access, path_);
  }

  [[nodiscard]] Result<bool> try_lock() override {
    // OFD: bound to this open file, not to the process; the kernel frees it at death whatever else
    // was open.
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (uninterrupted([&] { return ::fcntl(descriptor_.get(), F_OFD_SETLK, &lock); }) == 0) {
      return true;
    }
    if (errno == EAGAIN || errno == EACCES) return false;
    return fail_errno(errno, "locking " + path_);
  }

 private:
  Descriptor descriptor_;
  std::string path_;
};

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kOpenOrCreate:
      return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

}  // namespace

Descriptor::~Descriptor() {
  // Nothing to do about a failure: what had to be safe was synced before. Linux frees the number
  // even on EINTR.
  if (number_ >= 0) ::close(number_);
}

Result<Descriptor> open_descriptor(const std::string& path, OpenMode mode) {
  // O_NONBLOCK: a FIFO under this name must not stop the daemon; it means nothing to a regular
  // file.
  const int flags = flags_of(mode) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  Descriptor descriptor(uninterrupted([&] { return ::open(path.c_str(), flags, kFileMode); }));
  if (!descriptor.is_open()) return fail_errno(errno, "opening " + path);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return fail_errno(errno, "opening " + path);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, "opening " + path + ": it is not a regular file");
  }
  return descriptor;
}

std::unique_ptr<File> posix_file_of(Descriptor descriptor, std::string path) {
  return std::make_unique<PosixFile>(std::move(descriptor), std::move(path));
}

}  // namespace spillway::core::env
