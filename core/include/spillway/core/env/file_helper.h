// FileHelper: a process beside the daemon that opens files for writing, and makes, moves and removes names,
// in its place. So the daemon itself can be forbidden all of that (sandbox.h), and still write the few files
// that are its own, wherever a disk is changed or a stream comes up later.
//
//   daemon --(what, path)--> helper: may it? --> open, rename, remove, mkdir
//          <--(descriptor, or an Error)---
//
// The helper believes nothing of what it is asked: the daemon's owner says at the start which paths it may
// touch. It ends when the daemon's end of the socket closes, whatever the daemon dies of.
//
// Threads: start() from the only thread there is, for it forks. The Env as any Env.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "spillway/core/env/env.h"

namespace spillway::core::env {

class FileHelper {
 public:
  /// An absolute path without "." and "..", of a file or (the last of them) a directory that is to be made.
  using MayTouch = std::function<bool(const std::string& path)>;

  /// Forks. The helper is in a sandbox of its own: no sockets, no programs.
  [[nodiscard]] static Result<std::unique_ptr<FileHelper>> start(MayTouch may_touch);

  FileHelper() = default;
  FileHelper(const FileHelper&) = delete;
  FileHelper& operator=(const FileHelper&) = delete;
  /// Ends the helper.
  virtual ~FileHelper() = default;

  /// Reads by itself, and asks the helper for the rest.
  [[nodiscard]] virtual Env& env() = 0;
  /// It has died: nothing can be written any more, and the daemon should be started anew.
  [[nodiscard]] virtual bool has_died() = 0;
};

}  // namespace spillway::core::env
