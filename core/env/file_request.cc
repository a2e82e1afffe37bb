#include "core/env/file_request.h"

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace spillway::core::env {

namespace {

// Two paths and a byte each for kind and mode; a reply is a code and a line.
constexpr std::size_t kMessageBytesMax = 3 * 4096;
constexpr std::size_t kHeadBytes = 2;

using Buffer = std::array<char, kMessageBytesMax>;

struct Message {
  std::string text;
  Descriptor descriptor{-1};
};

bool send_message(int socket, std::string text, int descriptor) {
  text.resize(std::min(text.size(), kMessageBytesMax));
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &descriptor, sizeof(descriptor));
  }
  return uninterrupted([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); }) >= 0;
}

std::optional<Message> receive_message(int socket) {
  Buffer buffer;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = uninterrupted([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (got < static_cast<ssize_t>(kHeadBytes)) return std::nullopt;
  int descriptor = -1;
  if (const cmsghdr* head = CMSG_FIRSTHDR(&message);
      head != nullptr && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&descriptor, CMSG_DATA(head), sizeof(descriptor));
  }
  return Message{std::string(buffer.data(), static_cast<std::size_t>(got)), Descriptor(descriptor)};
}

}  // namespace

bool send_request(int socket, const FileRequest& request) {
  std::string text{static_cast<char>(request.kind), static_cast<char>(request.mode)};
  text += request.path;
  text += '\0';
  text += request.to;
  return text.size() <= kMessageBytesMax && send_message(socket, std::move(text), -1);
}

std::optional<FileRequest> receive_request(int socket) {
  const auto message = receive_message(socket);
  if (!message) return std::nullopt;
  const std::string& text = message->text;
  const std::size_t parting = text.find('\0', kHeadBytes);
  const auto kind = static_cast<std::uint8_t>(text[0]);
  const auto mode = static_cast<std::uint8_t>(text[1]);
  if (kind > static_cast<std::uint8_t>(FileRequestKind::kMakeDirectories) ||
      mode > static_cast<std::uint8_t>(OpenMode::kOpenOrCreate) || parting == std::string::npos) {
    return std::nullopt;
  }
  std::string to = text.substr(parting + 1);
  if (to.find('\0') != std::string::npos) return std::nullopt;
  return FileRequest{static_cast<FileRequestKind>(kind), static_cast<OpenMode>(mode),
                     text.substr(kHeadBytes, parting - kHeadBytes), std::move(to)};
}

bool send_reply(int socket, const FileReply& reply) {
  std::string text{reply.outcome.has_value() ? '\1' : '\0', '\0'};
  if (!reply.outcome) {
    text[1] = static_cast<char>(reply.outcome.error().code);
    text += reply.outcome.error().message;
  }
  return send_message(socket, std::move(text), reply.descriptor.get());
}

std::optional<FileReply> receive_reply(int socket) {
  auto message = receive_message(socket);
  if (!message) return std::nullopt;
  FileReply reply;
  if (message->text[0] == '\0') {
    reply.outcome =
        fail(static_cast<ErrorCode>(message->text[1]), message->text.substr(kHeadBytes));
  }
  reply.descriptor = std::move(message->descriptor);
  return reply;
}

}  // namespace spillway::core::env
