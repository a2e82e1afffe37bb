#include "spillway/core/result.h"

#include <cerrno>

namespace spillway::core {

namespace {

ErrorCode code_of(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
      return ErrorCode::kPermission;
    case EROFS:
      return ErrorCode::kReadOnly;
    case EAGAIN:
    case EBUSY:
    case EADDRINUSE:
    case EEXIST:
    case ETXTBSY:
      return ErrorCode::kBusy;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::kFull;
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
      return ErrorCode::kInvalidArgument;
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ETIMEDOUT:
      return ErrorCode::kUnavailable;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kPermission:
      return "permission denied";
    case ErrorCode::kBusy:
      return "busy";
    case ErrorCode::kFull:
      return "full";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kNewerVersion:
      return "newer version";
    case ErrorCode::kIo:
      return "input/output";
    case ErrorCode::kReadOnly:
      return "read-only";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kRefused:
      return "refused";
    case ErrorCode::kProtocol:
      return "protocol";
  }
  return "unknown";
}

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
    case ErrorCode::kFull:
    case ErrorCode::kCorrupt:
    case ErrorCode::kRefused:
      return 1;
    case ErrorCode::kInvalidArgument:
      return 2;
    default:
      return 3;
  }
}

namespace {

/// What to do about it, where the code alone can say.
std::string_view advice_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::kPermission:
      return "; check its owner and mode, and the user this runs as";
    case ErrorCode::kFull:
      return "; free some space";
    case ErrorCode::kReadOnly:
      return "; check the disk, and mount it writable again";
    default:
      return "";
  }
}

}  // namespace

tl::unexpected<Error> fail_errno(int errno_value, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += std::generic_category().message(errno_value);
  const ErrorCode code = code_of(errno_value);
  message += advice_for(code);
  return fail(code, std::move(message));
}

}  // namespace spillway::core
