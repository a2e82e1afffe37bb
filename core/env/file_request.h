// What the daemon asks of its file helper, and how a message with a descriptor goes over their socket.
// Private to core/env.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/env/posix_file.h"

namespace spillway::core::env {

enum class FileRequestKind : std::uint8_t { kOpen, kRename, kRemove, kMakeDirectories };

struct FileRequest {
  FileRequestKind kind = FileRequestKind::kOpen;
  OpenMode mode = OpenMode::kRead;
  std::string path;
  std::string to;  // kRename
};

struct FileReply {
  Result<void> outcome;
  Descriptor descriptor{-1};  // kOpen
};

/// One message each; false or nothing: the other end is gone, or does not keep to the form.
[[nodiscard]] bool send_request(int socket, const FileRequest& request);
[[nodiscard]] std::optional<FileRequest> receive_request(int socket);
[[nodiscard]] bool send_reply(int socket, const FileReply& reply);
[[nodiscard]] std::optional<FileReply> receive_reply(int socket);

}  // namespace spillway::core::env
