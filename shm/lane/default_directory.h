// The rule for a queue directory that nobody named, for producers and agent alike. Private to shm.
#pragma once

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

namespace spillway::shm {

inline constexpr const char* kSystemQueueDirectory = "/run/spillway";

/// Writes the path into `buffer`. $SPILLWAY_QUEUE_DIR, else /run/spillway if it is there, else
/// $XDG_RUNTIME_DIR/spillway, else /run/spillway, for the error message.
inline void write_default_queue_directory(char* buffer, std::size_t size) {
  const char* named = std::getenv("SPILLWAY_QUEUE_DIR");
  if (named != nullptr && *named != '\0') {
    std::snprintf(buffer, size, "%s", named);
    return;
  }
  struct stat status {};
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (stat(kSystemQueueDirectory, &status) != 0 && runtime != nullptr && *runtime != '\0') {
    std::snprintf(buffer, size, "%s/spillway", runtime);
    return;
  }
  std::snprintf(buffer, size, "%s", kSystemQueueDirectory);
}

}  // namespace spillway::shm
