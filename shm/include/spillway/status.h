// Status and Level: what a producer answers. The values are those of spillway.h, the C ABI.
#pragma once

#include <cstdint>

namespace spillway {

enum class Status : std::uint8_t {
  kOk = 0,
  kFull = 1,        // the lane is full: the agent is behind, absent, or its stream is at its quota
  kTooLarge = 2,    // the record is larger than the lane takes
  kTimeout = 3,     // the deadline passed; what was committed stays committed
  kInvalid = 4,     // an argument can never work
  kNoQueue = 5,     // there is no queue directory
  kPermission = 6,  // the queue directory does not let this user in
  kNoSpace = 7,     // the file system of the queue directory is full
  kNewerVersion = 8,  // written by a newer version
  kClosed = 9,        // the producer is not open, or a child process uses its parent's
  kSetAside = 10,     // the agent has set this lane aside: open a new one
  kSystem = 11,       // the system failed: see error_detail()
  kCorrupt = 12,      // stored bytes break the format's rules
  kEnd = 13,          // a reader has nothing more for now
};

enum class Level : std::uint8_t {
  kAccepted = 0,     // survives the producer's death
  kProcessSafe = 1,  // survives any process's death, the agent's too
  kPowerSafe = 2,    // survives power loss
};

/// One line, for a person; never null. Any thread.
[[nodiscard]] __attribute__((visibility("default"))) const char* status_text(Status status);
/// What exactly failed in this thread's last call that was not kOk; "" if there is nothing to add.
[[nodiscard]] __attribute__((visibility("default"))) const char* error_detail();

}  // namespace spillway
