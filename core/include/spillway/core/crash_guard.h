// CrashGuard: a small file that names what is being worked on, so that bytes that kill the process
// each time are set aside instead of killing it for ever.
//
//   begin("X") -> the file says 'X, 1st time' -> the work -> begin("Y") … -> done(): no file
//        a process that dies leaves it; the next one's begin("X") makes it the 2nd time
//
// One thread. Never an error: without its file (a full or read-only disk) there is just no guard. A
// file of another boot does not count: a power cut is nobody's fault.
#pragma once

#include <cstdint>
#include <string>

#include "spillway/core/env/env.h"

namespace spillway::core {

class CrashGuard {
 public:
  static constexpr std::uint32_t kCrashesMax = 3;

  CrashGuard(env::Env& env, std::string path);
  /// kCrashesMax processes in a row have died in the work on `name`: leave it alone.
  [[nodiscard]] bool is_deadly(const std::string& name) const {
    return crashes_ >= kCrashesMax && name == left_over_;
  }
  /// Work on `name` (no line breaks) begins.
  void begin(const std::string& name);
  /// All of it went well, or failed in an orderly way.
  void done();

 private:
  env::Env& env_;
  std::string path_;
  std::string left_over_;  // what the process before died in
  std::uint32_t crashes_ = 0;
  bool written_ = false;
};

}  // namespace spillway::core
