#include "shm/queue/schema_room.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>
#include <tuple>

#include "shm/queue/descriptor.h"
#include "shm/queue/queue_rooms.h"
#include "spillway/core/schema.h"

namespace spillway::shm {

namespace {

using core::ErrorCode;
using core::Result;

constexpr std::string_view kEnding = ".bfbs";
constexpr std::size_t kDigits = 16;
/// A draft is its producer's for a moment; one this old was left by a producer that died.
constexpr time_t kDraftSecondsMax = 60;

std::string room_of(const std::string& queue) { return queue + "/schemas"; }

std::string path_of(const std::string& queue, std::uint64_t fingerprint) {
  return room_of(queue) + "/" + core::fingerprint_text(fingerprint) + std::string(kEnding);
}

std::optional<std::uint64_t> fingerprint_in(std::string_view name) {
  if (name.size() != kDigits + kEnding.size() || !name.ends_with(kEnding)) return std::nullopt;
  std::uint64_t fingerprint = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, fingerprint, 16);
  if (error != std::errc{} || end != name.data() + kDigits) return std::nullopt;
  return fingerprint;
}

bool may_be_schema(const struct stat& status) {
  return S_ISREG(status.st_mode) && status.st_nlink == 1 && status.st_size > 0 &&
         status.st_size <= static_cast<off_t>(core::kSchemaBytesMax);
}

struct Left {
  std::int64_t made_s = 0;
  std::int64_t made_ns = 0;
  std::string path;
  [[nodiscard]] auto age() const { return std::tie(made_s, made_ns, path); }
};

}  // namespace

Result<std::vector<std::byte>> read_schema(const std::string& queue, std::uint64_t fingerprint) {
  const std::string path = path_of(queue, fingerprint);
  const Descriptor file(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!file) return core::fail_errno(errno, "cannot open schema " + path);
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return core::fail_errno(errno, "cannot examine " + path);
  if (!may_be_schema(status)) {
    return core::fail(ErrorCode::kCorrupt, "schema " + path + " is not a plain file of 1 to " +
                                               std::to_string(core::kSchemaBytesMax) +
                                               " bytes with one name");
  }
  // Its maker may change it while it is read: what has come is checked, not what is there.
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) return core::fail_errno(errno, "cannot read schema " + path);
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

void remove_schema(const std::string& queue, std::uint64_t fingerprint) {
  static_cast<void>(unlink(path_of(queue, fingerprint).c_str()));
}

void tidy_schemas(const std::string& queue, const std::set<std::uint64_t>& named) {
  const auto names = list_names(room_of(queue));
  if (!names) return;
  const time_t now = time(nullptr);
  std::map<uid_t, std::vector<Left>> users;
  for (const std::string& name : *names) {
    const std::string path = room_of(queue) + "/" + name;
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) continue;
    const auto fingerprint = fingerprint_in(name);
    if (fingerprint && may_be_schema(status)) {
      if (named.contains(*fingerprint)) continue;
      users[status.st_uid].push_back({status.st_ctim.tv_sec, status.st_ctim.tv_nsec, path});
    } else if (fingerprint || status.st_ctim.tv_sec + kDraftSecondsMax < now) {
      static_cast<void>(unlink(path.c_str()));
    }
  }
  for (auto& [user, left] : users) {
    if (left.size() <= kSchemasPerUserMax) continue;
    std::sort(left.begin(), left.end(),
              [](const Left& a, const Left& b) { return a.age() < b.age(); });
    left.resize(left.size() - kSchemasPerUserMax);
    for (const Left& file : left) static_cast<void>(unlink(file.path.c_str()));
  }
}

}  // namespace spillway::shm
