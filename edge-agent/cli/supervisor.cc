#include "edge-agent/cli/supervisor.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "edge-agent/cli/command.h"

namespace spillway::cli {
namespace {

constexpr int kCannotRun = 127;

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// The next watched signal, or 0 after `wait`.
int next_signal(std::chrono::milliseconds wait) {
  const sigset_t set = watched_signals();
  const timespec time{static_cast<time_t>(wait.count() / 1000),
                      static_cast<long>(wait.count() % 1000 * 1'000'000)};
  const int signal = ::sigtimedwait(&set, nullptr, &time);
  return signal < 0 ? 0 : signal;
}

[[noreturn]] void become(const std::vector<char*>& arguments, pid_t parent) {
  const sigset_t set = watched_signals();
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // The parent may have died before the line above took effect.
  if (::getppid() != parent) ::_exit(kCannotRun);
  ::execvp(arguments[0], arguments.data());
  ::_exit(kCannotRun);
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status))
    return std::string("was killed by SIG") + ::sigabbrev_np(WTERMSIG(status));
  if (WEXITSTATUS(status) == kCannotRun) return "could not be run";
  return "ended with " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

std::string find_program(const std::string& name) {
  std::error_code none;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", none);
  if (!none) {
    const auto beside = self.parent_path() / name;
    if (::access(beside.c_str(), X_OK) == 0) return beside.string();
  }
  return name;
}

Supervisor::Supervisor(std::vector<ChildSpec> children) {
  for (auto& spec : children) {
    children_.push_back({std::move(spec), 0, Clock::now(), Clock::now(), kBackoffMin});
  }
}

int Supervisor::run() {
  constexpr std::chrono::milliseconds kTick{50};
  while (true) {
    start_due();
    const int signal = next_signal(kTick);
    if (const auto code = reap()) {
      stop_all();
      return *code;
    }
    if (signal == SIGTERM || signal == SIGINT) {
      stop_all();
      return kDone;
    }
  }
}

void Supervisor::start_due() {
  const auto now = Clock::now();
  for (auto& child : children_) {
    if (child.pid != 0 || now < child.wanted_at) continue;
    const bool there =
        child.spec.start_after.empty() || ::access(child.spec.start_after.c_str(), F_OK) == 0;
    if (there || now - child.wanted_at >= kStartAfterMax) start(child);
  }
}

void Supervisor::start(Child& child) {
  std::vector<char*> arguments;
  for (auto& argument : child.spec.arguments) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(arguments, parent);
  child.started_at = Clock::now();
  if (pid < 0) {
    report(kSystemFailed, "cannot start " + child.spec.name + ": " + std::strerror(errno));
    child.wanted_at = child.started_at + child.backoff;
    return;
  }
  child.pid = pid;
}

std::optional<int> Supervisor::reap() {
  std::optional<int> end;
  for (auto& child : children_) {
    int status = 0;
    if (child.pid == 0 || ::waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
    if (const auto code = ended(child, status)) end = code;
  }
  return end;
}

/// The exit code to end with, if this death ends the run.
std::optional<int> Supervisor::ended(Child& child, int status) {
  child.pid = 0;
  const auto now = Clock::now();
  if (WIFEXITED(status) &&
      (WEXITSTATUS(status) == kWrongUse || WEXITSTATUS(status) == kCannotRun)) {
    report(kWrongUse, child.spec.name + " " + how_it_ended(status) +
                          ": starting it again cannot help; see its message above");
    return kWrongUse;
  }
  if (now - child.started_at >= kStableAfter) child.backoff = kBackoffMin;
  child.wanted_at = now + child.backoff;
  report(kSystemFailed, child.spec.name + " " + how_it_ended(status) + "; starts again in " +
                            std::to_string(child.backoff.count()) + " ms");
  child.backoff = std::min(child.backoff * 2, kBackoffMax);
  return std::nullopt;
}

void Supervisor::stop_all() {
  for (const auto& child : children_) {
    if (child.pid != 0) ::kill(child.pid, SIGTERM);
  }
  const auto give_up_at = Clock::now() + kStopMax;
  bool killed = false;
  while (any_running()) {
    for (auto& child : children_) {
      if (child.pid != 0 && ::waitpid(child.pid, nullptr, WNOHANG) == child.pid) child.pid = 0;
    }
    if (!killed && Clock::now() >= give_up_at) {
      killed = true;
      for (const auto& child : children_) {
        if (child.pid != 0) ::kill(child.pid, SIGKILL);
      }
    }
    if (any_running()) static_cast<void>(next_signal(std::chrono::milliseconds(20)));
  }
}

bool Supervisor::any_running() const {
  return std::any_of(children_.begin(), children_.end(),
                     [](const Child& child) { return child.pid != 0; });
}

}  // namespace spillway::cli
