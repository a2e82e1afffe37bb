#include "shm/producer/failure.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace spillway {

namespace {

constexpr int kDetailBytes = 512;
// Plain memory: no constructor runs in a thread that first meets an error.
thread_local char thread_detail[kDetailBytes];

struct CallFailure {
  Status status;
  const char* advice;
};

CallFailure failure_of(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM:
      return {Status::kPermission, "add this user to the group spillway, or name another queue"};
    case ENOENT:
    case ENOTDIR:
      return {Status::kNoQueue, "start the agent once, or make the directory"};
    case ENOSPC:
    case EDQUOT:
      return {Status::kNoSpace, "make room there, or use a smaller lane"};
    case EROFS:
      return {Status::kPermission, "the queue must be on a writable file system"};
    default:
      return {Status::kSystem, ""};
  }
}

}  // namespace

const char* error_detail() { return thread_detail; }

const char* status_text(Status status) {
  switch (status) {
    case Status::kOk:
      return "done";
    case Status::kFull:
      return "the lane is full: the agent is behind, absent, or its stream is at its quota";
    case Status::kTooLarge:
      return "the record is larger than the lane takes";
    case Status::kTimeout:
      return "the deadline passed; what was committed stays committed";
    case Status::kInvalid:
      return "an argument can never work";
    case Status::kNoQueue:
      return "there is no queue directory";
    case Status::kPermission:
      return "the queue directory does not let this user in";
    case Status::kNoSpace:
      return "the file system of the queue directory is full";
    case Status::kNewerVersion:
      return "written by a newer version";
    case Status::kClosed:
      return "the producer is not open, or a child process uses its parent's";
    case Status::kSetAside:
      return "the agent has set this lane aside: open a new one";
    case Status::kSystem:
      return "the system failed";
    case Status::kCorrupt:
      return "stored bytes break the format's rules";
    case Status::kEnd:
      return "nothing more for now";
  }
  return "unknown status";
}

namespace shm {

void clear_failure() { thread_detail[0] = '\0'; }

Status failed(Status status, const char* what, const char* object, const char* advice) {
  std::snprintf(thread_detail, kDetailBytes, "%s %s%s%s", what, object, *advice == '\0' ? "" : ": ",
                advice);
  return status;
}

Status failed_call(int error_number, const char* what, const char* object) {
  const CallFailure failure = failure_of(error_number);
  // strerrordesc_np: thread-safe, without a buffer and without the locale.
#ifdef __GLIBC__
  const char* reason = strerrordesc_np(error_number);
#else
  const char* reason = strerror(error_number);  // musl's are constants
#endif
  std::snprintf(thread_detail, kDetailBytes, "%s %s: %s%s%s", what, object,
                reason == nullptr ? "unknown error" : reason, *failure.advice == '\0' ? "" : "; ",
                failure.advice);
  return failure.status;
}

}  // namespace shm
}  // namespace spillway
