#include "spillway/core/env/file_helper.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>

#include "core/env/file_request.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"

namespace spillway::core::env {

namespace {

// --- the helper's side ---

bool is_plain(const std::string& path) {
  return path.starts_with('/') && (path + "/").find("/./") == std::string::npos &&
         (path + "/").find("/../") == std::string::npos && path.find("//") == std::string::npos;
}

Result<void> refuse(const std::string& path) {
  return fail(ErrorCode::kPermission,
              "writing " + path + ": the sandbox lets this daemon write its own files alone");
}

FileReply serve(const FileRequest& request, const FileHelper::MayTouch& may_touch) {
  const auto allowed = [&](const std::string& path) { return is_plain(path) && may_touch(path); };
  FileReply reply;
  if (!allowed(request.path)) {
    reply.outcome = refuse(request.path);
    return reply;
  }
  switch (request.kind) {
    case FileRequestKind::kOpen: {
      auto opened = open_descriptor(request.path, request.mode);
      if (opened) reply.descriptor = std::move(*opened);
      if (!opened) reply.outcome = tl::unexpected(std::move(opened).error());
      break;
    }
    case FileRequestKind::kRename:
      reply.outcome =
          allowed(request.to) ? posix_env().rename(request.path, request.to) : refuse(request.to);
      break;
    case FileRequestKind::kRemove:
      reply.outcome = posix_env().remove(request.path);
      break;
    case FileRequestKind::kMakeDirectories:
      reply.outcome = posix_env().make_directories(request.path);
      break;
  }
  return reply;
}

[[noreturn]] void help(int socket, const FileHelper::MayTouch& may_touch) {
  // A service manager signals every process of a service; the daemon may still have to write.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  ::prctl(PR_SET_NAME, "spillway-files");
  spdlog::set_level(spdlog::level::warn);  // the log tells of the daemon's sandbox
  lock_down({});
  while (const auto request = receive_request(socket)) {
    if (!send_reply(socket, serve(*request, may_touch))) break;
  }
  ::_exit(0);
}

// --- the daemon's side ---

/// As the helper wants it, however it stands in the configuration.
std::string plain(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

/// Reading, listing and clocks are the real Env's own.
class HelpedEnv final : public Env {
 public:
  explicit HelpedEnv(Descriptor socket) : socket_(std::move(socket)) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::kRead) return real_.open(path, mode);
    auto reply = ask({FileRequestKind::kOpen, mode, plain(path), {}});
    if (!reply.outcome) return tl::unexpected(std::move(reply.outcome).error());
    return posix_file_of(std::move(reply.descriptor), path);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    return ask({FileRequestKind::kRename, {}, plain(from), plain(to)}).outcome;
  }
  Result<void> remove(const std::string& path) override {
    return ask({FileRequestKind::kRemove, {}, plain(path), {}}).outcome;
  }
  Result<void> make_directories(const std::string& path) override {
    // Nearly always it is there.
    if (real_.list(path)) return {};
    return ask({FileRequestKind::kMakeDirectories, {}, plain(path), {}}).outcome;
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_.list(path);
  }
  Result<std::vector<SizedName>> list_sizes(const std::string& path) override {
    return real_.list_sizes(path);
  }
  Result<bool> exists(const std::string& path) override { return real_.exists(path); }
  Result<void> sync_directory(const std::string& path) override {
    return real_.sync_directory(path);
  }
  std::string canonical(const std::string& path) override { return real_.canonical(path); }
  std::uint64_t boottime_ns() override { return real_.boottime_ns(); }
  std::uint64_t utc_ns() override { return real_.utc_ns(); }
  bool utc_is_certain() override { return real_.utc_is_certain(); }
  Uuid boot_id() override { return real_.boot_id(); }
  std::uint64_t random_u64() override { return real_.random_u64(); }

 private:
  FileReply ask(const FileRequest& request) {
    const std::lock_guard lock(mutex_);
    if (send_request(socket_.get(), request)) {
      if (auto reply = receive_reply(socket_.get())) return std::move(*reply);
    }
    return {fail(ErrorCode::kIo, "writing " + request.path +
                                     ": the process that opens files has died; the daemon has to "
                                     "be started anew"),
            Descriptor(-1)};
  }

  Env& real_ = posix_env();
  std::mutex mutex_;
  Descriptor socket_;
};

class ForkedHelper final : public FileHelper {
 public:
  ForkedHelper(Descriptor socket, pid_t pid) : pid_(pid), env_(std::in_place, std::move(socket)) {}
  ~ForkedHelper() override {
    env_.reset();
    if (!has_died()) ::waitpid(pid_, nullptr, 0);
  }

  Env& env() override { return *env_; }
  bool has_died() override {
    if (!dead_) dead_ = ::waitpid(pid_, nullptr, WNOHANG) != 0;
    return dead_;
  }

 private:
  pid_t pid_;
  bool dead_ = false;
  std::optional<HelpedEnv> env_;
};

}  // namespace

Result<std::unique_ptr<FileHelper>> FileHelper::start(MayTouch may_touch) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "making a socket for the process that opens files");
  }
  Descriptor ours(ends[0]);
  Descriptor theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "starting the process that opens files");
  if (pid == 0) {
    ::close(ours.get());
    help(theirs.get(), may_touch);
  }
  return std::unique_ptr<FileHelper>(std::make_unique<ForkedHelper>(std::move(ours), pid));
}

}  // namespace spillway::core::env
