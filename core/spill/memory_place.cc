#include "core/spill/memory_place.h"

#include <string_view>

#include "core/spill/paths.h"

namespace spillway::core {

namespace {

constexpr std::size_t kFileBytesMax = 8192;

/// The file's one line; empty if there is none, or no whole one.
std::string line_of(env::Env& env, const std::string& path) {
  const auto bytes = env::read_file(env, path, kFileBytesMax);
  if (!bytes || bytes->empty() || bytes->back() != std::byte{'\n'}) return "";
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size() - 1};
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
  std::string memory = line_of(env, join(directory, kMemoryName));
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
