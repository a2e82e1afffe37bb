#include "spillway/core/env/env.h"

#include "core/env/paths.h"

namespace spillway::core::env {

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
  // One byte more than allowed is asked for, so that files without an honest size (/proc) are
  // bounded, too.
  std::vector<std::byte> bytes(size_max + 1);
  SPILLWAY_TRY(size, file->read(0, bytes));
  if (size > size_max) {
    return fail(ErrorCode::kCorrupt, "reading " + path + ": it is larger than the " +
                                         std::to_string(size_max) + " bytes it may have");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace spillway::core::env
