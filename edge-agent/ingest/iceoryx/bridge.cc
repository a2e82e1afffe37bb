#include "edge-agent/ingest/iceoryx/bridge.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "edge-agent/ingest/adapter_loop.h"
#include "edge-agent/ingest/iceoryx/reader.h"
#include "edge-agent/ingest/iceoryx/roudi_watch.h"
#include "spillway/core/log.h"

namespace spillway::agent::iceoryx {
namespace {

constexpr long kTickNs = 100'000'000;
constexpr std::uint64_t kStatusEveryNs = 1'000'000'000;
/// A RouDi that reads nothing for so long hangs. Nobody but who restarts it can help.
constexpr std::uint64_t kHangsAfterNs = 3'000'000'000;

ChildEnd end_of(int status) {
  if (!WIFEXITED(status)) return ChildEnd::kFailed;
  if (WEXITSTATUS(status) == kReaderLeft) return ChildEnd::kLeft;
  return WEXITSTATUS(status) == kReaderForgotten ? ChildEnd::kForgotten : ChildEnd::kFailed;
}

std::string text_of(int status) {
  if (WIFSIGNALED(status))
    return std::string("its reader was killed by SIG") + ::sigabbrev_np(WTERMSIG(status));
  switch (WEXITSTATUS(status)) {
    case kReaderLeft:
      return "";
    case kReaderForgotten:
      return "RouDi may have taken its reader for dead";
    default:
      return "its reader failed; see its message in the log";
  }
}

const char* name_of(Keeper::State state, bool stopped) {
  if (stopped) return "stopped";
  switch (state) {
    case Keeper::State::kWaiting:
      return "waiting for RouDi";
    case Keeper::State::kReading:
      return "reading";
    case Keeper::State::kLeaving:
      return "leaving";
    case Keeper::State::kResting:
      return "resting after a failure";
  }
  return "";
}

}  // namespace

core::Result<std::unique_ptr<Bridge>> Bridge::open(core::env::Env& env,
                                                   const core::Config& config) {
  if (!config.iceoryx) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      config.path + " has no [[iceoryx.map]] section: nothing to do");
  }
  SPILLWAY_TRY(page, make_shared_page());
  return std::unique_ptr<Bridge>(new Bridge(env, config, std::move(page)));
}

/// False: there is no queue directory yet.
core::Result<bool> Bridge::lock_queue() {
  if (lock_) return true;
  const std::string& queue_dir = config_.gateway.queue_dir;
  SPILLWAY_TRY(there, env_.exists(queue_dir + "/lanes"));
  if (!there) return false;
  const std::string path = queue_dir + "/iceoryx.lock";
  SPILLWAY_TRY(file, env_.open(path, core::env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, file->try_lock());
  if (!locked) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "another spillway-iceoryx holds " + path +
                          ": two would bring every sample twice; stop the other one first");
  }
  lock_ = std::move(file);
  return true;
}

core::Result<void> Bridge::run() {
  notifier_.ready();
  while (!keeper_.stopped()) {
    const int signal = next_signal(kTickNs, {SIGCHLD});
    if (signal == SIGTERM || signal == SIGINT) {
      spdlog::info("ended by signal {}", signal);
      notifier_.stopping();
      keeper_.stop();
    }
    SPILLWAY_CHECKED(reap());
    const auto roudi = look_for_roudi(kRoudiSocket);
    SPILLWAY_TRY(queue_there, lock_queue());
    const std::uint64_t now_ns = env_.boottime_ns();
    watch_answers(!roudi.life || roudi.answers, now_ns);
    act(keeper_.step(now_ns, queue_there ? roudi.life : std::nullopt,
                     page_->signs.load(std::memory_order_relaxed)));
    notifier_.alive(now_ns);
    say_state(roudi.life.has_value());
    show_status(false);
  }
  show_status(true);
  return {};
}

void Bridge::act(Keeper::Action action) {
  switch (action) {
    case Keeper::Action::kNothing:
      return;
    case Keeper::Action::kStartChild:
      return start_reader();
    case Keeper::Action::kTellToLeave:
      ::kill(reader_, SIGTERM);
      return;
    case Keeper::Action::kKillChild:
      spdlog::warn("the reader does not answer: it is killed");
      ::kill(reader_, SIGKILL);
      return;
  }
}

void Bridge::start_reader() {
  if (keeper_.life_is_new()) page_->begin_life();
  page_->attached.store(0, std::memory_order_relaxed);
  // Unique, for RouDi takes its time to forget one that was killed.
  const std::string name =
      "spillway-iceoryx-" + std::to_string(::getpid()) + "-" + std::to_string(env_.random_u64());
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The parent may have died before the line above took effect.
    if (::getppid() != parent) ::_exit(kReaderFailed);
    ::_exit(read_samples(config_, name, *page_));
  }
  if (pid < 0) {
    spdlog::error("cannot start a reader: {}", std::strerror(errno));
    keeper_.on_child_ended(env_.boottime_ns(), ChildEnd::kFailed);
    return;
  }
  reader_ = pid;
}

core::Result<void> Bridge::reap() {
  int status = 0;
  if (reader_ == 0 || ::waitpid(reader_, &status, WNOHANG) != reader_) return {};
  reader_ = 0;
  page_->attached.store(0, std::memory_order_relaxed);
  keeper_.on_child_ended(env_.boottime_ns(), end_of(status));
  facts_.error = text_of(status);
  if (end_of(status) == ChildEnd::kFailed) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == kReaderWrongUse) {
      return core::fail(core::ErrorCode::kInvalidArgument,
                        "the reader cannot work with this configuration: see its message above");
    }
    spdlog::warn("{}; starts again in {} ms", facts_.error, keeper_.rest_ns() / 1'000'000);
  }
  return {};
}

void Bridge::watch_answers(bool answers, std::uint64_t now_ns) {
  if (answers || answered_ns_ == 0) answered_ns_ = now_ns;
  const bool hangs = now_ns - answered_ns_ >= kHangsAfterNs;
  if (hangs == !facts_.roudi_answers) return;
  facts_.roudi_answers = !hangs;
  status_due_ns_ = 0;
  if (!hangs) return spdlog::info("RouDi answers again");
  spdlog::error(
      "RouDi hangs: it has read nothing for {} s. A publisher that was killed in the wrong instant "
      "may "
      "have left a lock; samples may not arrive until RouDi and its publishers are restarted",
      kHangsAfterNs / 1'000'000'000);
}

/// One line for each change.
void Bridge::say_state(bool roudi_there) {
  std::string state = name_of(keeper_.state(), keeper_.stopped());
  if (keeper_.state() == Keeper::State::kWaiting && !lock_) state = "waiting for the agent";
  const bool attached = page_->attached.load(std::memory_order_relaxed) != 0;
  if (state == "reading" && !attached) state = "attaching";
  if (roudi_there != facts_.roudi_there && state == "reading") {
    spdlog::warn(roudi_there ? "RouDi is there again"
                             : "RouDi is gone: what its publishers still send is read, until a new "
                               "one comes");
  }
  facts_.roudi_there = roudi_there;
  facts_.lives = keeper_.lives();
  facts_.starts = keeper_.starts();
  if (state == facts_.state) return;
  facts_.state = state;
  status_due_ns_ = 0;
  if (state == "waiting for the agent") {
    spdlog::info("there is no queue in {} yet: waits for the agent to make it",
                 config_.gateway.queue_dir);
  } else if (state == "waiting for RouDi") {
    spdlog::info("nobody listens on {}: waits for iceoryx's daemon (iox-roudi) to start",
                 kRoudiSocket);
  } else if (state == "reading") {
    facts_.error.clear();
    spdlog::info("reads {} events from iceoryx, in RouDi's life {}", config_.iceoryx->maps.size(),
                 facts_.lives);
  }
}

void Bridge::show_status(bool now) {
  const std::uint64_t now_ns = env_.boottime_ns();
  if (!lock_ || (!now && now_ns < status_due_ns_)) return;
  status_due_ns_ = now_ns + kStatusEveryNs;
  std::string text = render_status(*config_.iceoryx, *page_, facts_);
  if (text == shown_) return;
  const auto written = core::env::replace_file(env_, config_.gateway.queue_dir + "/iceoryx.status",
                                               std::as_bytes(std::span(text)));
  if (!written && status_error_.empty()) {
    spdlog::warn("the status cannot be shown: {}", written.error().message);
  }
  status_error_ = written ? "" : written.error().message;
  if (written) shown_ = std::move(text);
}

}  // namespace spillway::agent::iceoryx
