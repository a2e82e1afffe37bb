#include "core/spill/memory_place.h"

#include <map>
#include <mutex>
#include <string_view>

#include "core/spill/paths.h"

namespace spillway::core {

namespace {

constexpr std::size_t kFileBytesMax = 8192;

/// The file's one line; empty if there is no whole one.
Result<std::string> read_line(env::Env& env, const std::string& path) {
  SPILLWAY_TRY(bytes, env::read_file(env, path, kFileBytesMax));
  if (bytes.empty() || bytes.back() != std::byte{'\n'}) return std::string();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size() - 1);
}

/// The same; empty if it cannot be read.
std::string line_of(env::Env& env, const std::string& path) {
  return read_line(env, path).value_or("");
}

/// What this process has read in `memory` files, for the time when the disk answers nothing. A hint:
/// `home`, in memory, says whether it is so.
class KnownPlaces {
 public:
  void note(const std::string& directory, const std::string& memory) {
    const std::lock_guard lock(mutex_);
    if (memory.empty()) {
      places_.erase(directory);
    } else if (places_.size() < kPlacesMax || places_.contains(directory)) {
      places_[directory] = memory;
    }
  }
  std::string find(const std::string& directory) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(directory);
    return found == places_.end() ? "" : found->second;
  }

 private:
  static constexpr std::size_t kPlacesMax = 1024;  // streams of one process
  std::mutex mutex_;
  std::map<std::string, std::string> places_;
};

KnownPlaces& known_places() {
  static KnownPlaces places;
  return places;
}

Result<void> store_line(env::Env& env, const std::string& path, const std::string& line) {
  if (line_of(env, path) == line) return {};
  const std::string text = line + "\n";
  return env::replace_file(env, path, std::as_bytes(std::span(text)));
}

std::string home_of(env::Env& env, const std::string& directory) {
  return env.boot_id().text() + " " + env.canonical(directory);
}

Result<void> remove_files(env::Env& env, const std::string& directory) {
  const auto names = env.list(directory);
  if (!names) return {};
  for (const std::string& name : *names) {
    if (name != kCursorsName) SPILLWAY_CHECKED(env.remove(join(directory, name)));
  }
  return {};
}

}  // namespace

std::string find_memory(env::Env& env, const std::string& directory) {
  const auto line = read_line(env, join(directory, kMemoryName));
  const bool answers = line || line.error().code != ErrorCode::kIo;
  if (answers) known_places().note(directory, line.value_or(""));
  std::string memory = answers ? line.value_or("") : known_places().find(directory);
  return !memory.empty() && is_memory_of(env, directory, memory) ? memory : "";
}

bool is_memory_of(env::Env& env, const std::string& directory, const std::string& memory) {
  return line_of(env, join(memory, kHomeName)) == home_of(env, directory);
}

Result<void> begin_memory(env::Env& env, const std::string& directory, const std::string& memory) {
  if (!is_memory_of(env, directory, memory)) {
    SPILLWAY_CHECKED(remove_files(env, memory));
    SPILLWAY_CHECKED(remove_files(env, join(memory, kCursorsName)));
  }
  SPILLWAY_CHECKED(env.make_directories(join(memory, kCursorsName)));
  SPILLWAY_CHECKED(store_line(env, join(memory, kHomeName), home_of(env, directory)));
  return store_line(env, join(directory, kMemoryName), memory);
}

Result<void> end_memory(env::Env& env, const std::string& directory, const std::string& memory) {
  SPILLWAY_CHECKED(remove_files(env, memory));
  SPILLWAY_CHECKED(remove_files(env, join(memory, kCursorsName)));
  SPILLWAY_CHECKED(env.remove(join(directory, kMemoryName)));
  return env.sync_directory(directory);
}

}  // namespace spillway::core
