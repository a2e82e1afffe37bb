// The sandbox that each daemon shuts itself into: which system calls it may still make (seccomp) and
// below which directories it may still write (Landlock). No root is needed for it, and nothing undoes it.
//
// Call lock_down once, as soon as what needs more rights is done: seccomp takes in the threads that run
// already, Landlock only those that are started afterwards.
//
// What is refused gets an error (EPERM; EACCES for sockets and files; ENOSYS for calls that this build does
// not know) and a line in the kernel's audit log; nobody is killed for it: a new C library's new call must
// not make a gateway start over and over. So the filter says what no daemon of ours has any business with,
// and lets the rest be.
//
// Refused to every daemon:
//  1. running another program (execve, execveat);
//  2. other processes' memory and descriptors (ptrace, process_vm_*, pidfd_getfd, ...);
//  3. the machine: mounts, modules, kexec, reboot, clocks, swap, quotas, I/O ports, device nodes, keys;
//  4. other rights: set*id, capset, new namespaces, personality;
//  5. what is known as a way around: io_uring, bpf, perf_event_open, userfaultfd, open_by_handle_at,
//     another architecture's calls, and calls newer than this build, which a filter cannot judge.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spillway::core {

enum class Network : std::uint8_t {
  kNone,        // no socket but Unix ones
  kConnects,    // IPv4, IPv6 and what asks the kernel for routes; nothing is listened to
  kAcceptsToo,  // and it serves
};

struct SandboxRules {
  Network network = Network::kNone;
  /// False: no file is opened for writing, and no name is made, moved or removed (seccomp).
  bool writes_files = true;
  /// Files are written and names changed below these directories alone (Landlock); empty: anywhere. One
  /// that is not there, or stands for the root, counts as "anywhere".
  std::vector<std::string> writes_below;
};

/// What is in force, for the log and the status: "on", or what is missing and why.
struct SandboxState {
  std::string calls = "off";
  std::string files = "off";

  [[nodiscard]] std::string text() const { return "calls: " + calls + "; files: " + files; }
};

/// What the kernel does not have is done without, and told by the state and in the log. Not while another
/// thread asks for sandbox_in_force.
void lock_down(const SandboxRules& rules);
/// Of this process; before lock_down: off. Any thread.
[[nodiscard]] const SandboxState& sandbox_in_force();

/// The directory in which `directory` could be replaced by another one under a running daemon: its parent,
/// or, where a file system is mounted on that, the parent's. What is mounted there later is below it.
[[nodiscard]] std::string ground_of(const std::string& directory);

}  // namespace spillway::core
