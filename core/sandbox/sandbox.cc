#include "spillway/core/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "core/sandbox/call_filter.h"
#include "core/sandbox/calls.h"
#include "core/sandbox/write_fence.h"
#include "spillway/core/log.h"

namespace spillway::core {

namespace {

namespace fs = std::filesystem;
using sandbox::CallFilter;

constexpr std::uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::uint32_t kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
constexpr std::uint32_t kLocalFamilies[] = {AF_UNIX};
constexpr std::uint32_t kNetworkFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/// Calls that are answered as if the kernel did not have them; that is no event for a log.
CallFilter hidden_calls(const SandboxRules& rules) {
  CallFilter filter(ENOSYS);
  filter.refuse_above(sandbox::kNewestCall, ENOSYS);
  filter.refuse(sandbox::kHiddenFromAll, ENOSYS);
  if (!rules.writes_files) filter.refuse(sandbox::kHiddenFromReaders, ENOSYS);
  return filter;
}

CallFilter refused_calls(const SandboxRules& rules) {
  CallFilter filter(0);
  filter.refuse(sandbox::kRefusedToAll, EPERM);
  filter.refuse_bits(SYS_clone, 0, kNewNamespaces, EPERM);
  std::span<const std::uint32_t> families = kNetworkFamilies;
  if (rules.network == Network::kNone) families = kLocalFamilies;
  for (const int call : {SYS_socket, SYS_socketpair}) filter.allow_only(call, 0, families, EACCES);
  if (rules.network != Network::kAcceptsToo) filter.refuse(sandbox::kServing, EPERM);
  if (rules.writes_files) return filter;
  filter.refuse(sandbox::kNameChanges, EACCES);
  filter.refuse_bits(SYS_openat, 2, kWriting, EACCES);
#ifdef SYS_open
  filter.refuse_bits(SYS_open, 1, kWriting, EACCES);
#endif
  return filter;
}

std::string limit_calls(const SandboxRules& rules) {
  int error = hidden_calls(rules).install(false);
  if (error == 0) error = refused_calls(rules).install(true);
  if (error == 0) return "on";
  return std::string("off: this kernel takes no filter of system calls: ") + std::strerror(error);
}

bool is_anywhere(const std::string& directory) {
  std::error_code none;
  return directory == "/" || !fs::is_directory(directory, none);
}

std::string limit_files(const SandboxRules& rules) {
  if (!rules.writes_files) return "read only";
  const auto& below = rules.writes_below;
  const auto wide = std::find_if(below.begin(), below.end(), is_anywhere);
  if (wide != below.end()) {
    return "off: what is to be written to stands in " + *wide + ", which cannot be fenced in";
  }
  if (below.empty()) return "off: this daemon is not held to directories";
  std::string state = sandbox::fence_writes(below);
  if (state != "on") return state;
  state = "written below";
  for (const std::string& directory : below) {
    state += (directory == below.front() ? " " : ", ") + directory;
  }
  return state;
}

SandboxState& the_state() {
  static SandboxState state;
  return state;
}

constexpr int kLinksMax = 40;  // as many as Linux follows

/// Without links, also where one leads to what is not there yet.
fs::path resolved(const fs::path& directory) {
  fs::path path = directory;
  for (int followed = 0; followed < kLinksMax; ++followed) {
    std::error_code none;
    const fs::path whole = fs::weakly_canonical(path, none);
    if (!none) path = whole;
    fs::path next;
    bool is_link = false;
    for (const fs::path& part : path) {
      next /= part;
      const fs::path target = is_link ? fs::path() : fs::read_symlink(next, none);
      if (target.empty()) continue;
      next = next.parent_path() / target;
      is_link = true;
    }
    if (!is_link) break;
    path = next;
  }
  return path;
}

std::optional<dev_t> device_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return status.st_dev;
}

}  // namespace

void lock_down(const SandboxRules& rules) {
  SandboxState& state = the_state();
  // Both ask for it of whoever is not root.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
    state.files = limit_files(rules);
    state.calls = limit_calls(rules);
  } else {
    state.calls = "off: this kernel does not take PR_SET_NO_NEW_PRIVS";
  }
  if (!rules.writes_files && state.calls != "on") state.files = state.calls;
  spdlog::info("sandbox: {}", state.text());
}

const SandboxState& sandbox_in_force() { return the_state(); }

std::string ground_of(const std::string& directory) {
  fs::path ground = resolved(directory).parent_path();
  std::error_code missing;
  while (!fs::is_directory(ground, missing) && ground != ground.parent_path()) {
    ground = ground.parent_path();
  }
  const bool is_mount_point = device_of(ground) != device_of(ground.parent_path());
  return (is_mount_point ? ground.parent_path() : ground).string();
}

}  // namespace spillway::core
