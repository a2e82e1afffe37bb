#include "spillway/core/env/env.h"

#include <algorithm>

#include "core/env/paths.h"

namespace spillway::core::env {

namespace {

constexpr std::size_t kFirstReadBytes = 4096;

}  // namespace

Result<void> replace_file(Env& env, const std::string& path, std::span<const std::byte> bytes) {
  const std::string temporary = path + ".new";
  {
    // Left over from a crash: whatever is in it was never the file.
    SPILLWAY_TRY(left_over, env.exists(temporary));
    if (left_over) SPILLWAY_CHECKED(env.remove(temporary));
    SPILLWAY_TRY(file, env.open(temporary, OpenMode::kCreateNew));
    SPILLWAY_CHECKED(file->write(0, bytes));
    SPILLWAY_CHECKED(file->sync_data());
  }
  SPILLWAY_CHECKED(env.rename(temporary, path));
  return env.sync_directory(parent_of(path));
}

Result<std::vector<std::byte>> read_file(Env& env, const std::string& path, std::size_t size_max) {
  SPILLWAY_TRY(file, env.open(path, OpenMode::kRead));
  // In pieces that grow, so that it costs what the file holds and not what it may hold; one byte more
  // than allowed is asked for, so that files without an honest size (/proc) are bounded, too.
  std::vector<std::byte> bytes;
  while (true) {
    const std::size_t at = bytes.size();
    const std::size_t wanted = std::min(size_max + 1 - at, std::max(at, kFirstReadBytes));
    bytes.resize(at + wanted);
    SPILLWAY_TRY(got, file->read(at, std::span(bytes).subspan(at)));
    bytes.resize(at + got);
    if (bytes.size() > size_max) {
      return fail(ErrorCode::kCorrupt, "reading " + path + ": it is larger than the " +
                                           std::to_string(size_max) + " bytes it may have");
    }
    if (got < wanted) return bytes;
  }
}

}  // namespace spillway::core::env
