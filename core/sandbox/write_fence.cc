#include "core/sandbox/write_fence.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/env/posix_file.h"

namespace spillway::core::sandbox {

namespace {

using env::Descriptor;

// As the kernel counts them; older headers do not name them.
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr std::uint64_t kRefer = 1ULL << 13;
constexpr std::uint64_t kTruncate = 1ULL << 14;
/// The first version that lets a file be moved from one directory to another, as a bad lane is.
constexpr long kVersionMin = 2;
constexpr long kVersionWithTruncate = 3;

constexpr std::uint64_t kGranted =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | kRefer;
constexpr std::uint64_t kNeverGranted =
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

std::string reason(const char* what) { return std::string("off: ") + what + std::strerror(errno); }

}  // namespace

std::string fence_writes(const std::vector<std::string>& directories) {
  const long version = ::syscall(kCreateRuleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 0) return reason("this kernel offers no Landlock: ");
  if (version < kVersionMin) return "off: this kernel's Landlock is of version 1, and 2 is needed";
  const std::uint64_t granted = kGranted | (version >= kVersionWithTruncate ? kTruncate : 0);
  const landlock_ruleset_attr handled{granted | kNeverGranted};
  const Descriptor ruleset(
      static_cast<int>(::syscall(kCreateRuleset, &handled, sizeof(handled), 0)));
  if (!ruleset.is_open()) return reason("Landlock takes no rules: ");
  for (const std::string& directory : directories) {
    const Descriptor opened(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!opened.is_open()) return reason(("opening " + directory + ": ").c_str());
    landlock_path_beneath_attr rule{granted, opened.get()};
    if (::syscall(kAddRule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
      return reason(("Landlock does not take " + directory + ": ").c_str());
    }
  }
  if (::syscall(kRestrictSelf, ruleset.get(), 0) != 0) return reason("Landlock refuses: ");
  return "on";
}

}  // namespace spillway::core::sandbox
