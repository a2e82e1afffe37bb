// Result<T> and Error: how everything but the producer's path says what the world did wrong.
//
// Any thread. An Error says what was tried, on what, and what to do about it; its code decides what
// a caller does next and which exit code a command ends with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>

namespace spillway::core {

enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  // a flag, a key or a value that can never work
  kNotFound,         // a file, stream or directory that is not there
  kPermission,       // the system refused access
  kBusy,             // somebody else holds the lock or the port
  kFull,             // no room: disk, quota, lane
  kCorrupt,          // bytes from a disk, a lane or a peer break the format's rules
  kNewerVersion,     // written by a newer version: refuse, touch nothing
  kIo,               // the system failed: EIO and whatever else has no better name
  kReadOnly,         // the file system takes no writes (EROFS)
  kUnavailable,      // the far end cannot be reached now
  kRefused,          // the far end said no
  kProtocol,         // the far end broke the protocol
};

[[nodiscard]] std::string_view name_of(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kIo;
  std::string message;  // one line, for a person
};

/// The exit code a command ends with for this error: 1 the answer is no, 2 wrong use, 3 the system
/// failed.
[[nodiscard]] int exit_code_of(const Error& error);

template <typename T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

/// "<what>: <strerror>", with the code that fits errno_value (ENOENT, EACCES, ENOSPC, EAGAIN ... or
/// kIo).
[[nodiscard]] tl::unexpected<Error> fail_errno(int errno_value, std::string_view what);

}  // namespace spillway::core

// SPILLWAY_TRY(name, expression): name = value of the Result, or return its error.
#define SPILLWAY_TRY(name, ...)                                                \
  auto name##_result = (__VA_ARGS__);                                          \
  if (!name##_result) return tl::unexpected(std::move(name##_result).error()); \
  auto& name = *name##_result  // NOLINT(bugprone-macro-parentheses)

// SPILLWAY_CHECKED(expression): return the error of a Result<void>, or go on.
#define SPILLWAY_CHECKED(...)                                   \
  do {                                                          \
    if (auto checked_result = (__VA_ARGS__); !checked_result)   \
      return tl::unexpected(std::move(checked_result).error()); \
  } while (false)
