#include "uplink/daemon/sink_runner.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "spillway/core/log.h"
#include "uplink/sinks/make_sink.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::Result;
using std::chrono::nanoseconds;

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kAgentPauseNs = kSecondNs;
constexpr std::uint64_t kTickNs = kSecondNs;
constexpr std::uint64_t kPollNsMin = 2'000'000;
constexpr std::uint64_t kPollNsMax = 20'000'000;
/// At the end, what is on its way may be confirmed for so long: what is not goes again next time.
constexpr std::uint64_t kGoodbyeNs = kSecondNs;

/// Only a person can mend it, so it is not asked for often.
bool needs_a_person(const Error& error) {
  return error.code == ErrorCode::kNotFound || error.code == ErrorCode::kPermission ||
         error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kRefused;
}

}  // namespace

SinkRunner::SinkRunner(core::env::Env& env, const core::Config& config, core::UplinkConfig uplink,
                       OnFatal on_fatal)
    : env_(env),
      gateway_config_(config.gateway),
      config_(std::move(uplink)),
      on_fatal_(std::move(on_fatal)),
      spill_(env, config, config_),
      link_(env, config_.links.front(), true),
      backoff_(config_.reconnect_ns_min, config_.reconnect_ns_max),
      status_file_(env, gateway_config_.queue_dir + "/uplink-" + config_.name + ".status"),
      since_utc_ns_(env.utc_ns()),
      poll_ns_(kPollNsMin) {}

SinkRunner::~SinkRunner() {
  stop();
  if (thread_.joinable()) thread_.join();
}

Result<void> SinkRunner::prepare() {
  SPILLWAY_TRY(sink, make_sink(config_));
  sink_ = std::move(sink);
  return {};
}

void SinkRunner::start() {
  // Signals are the io_context's thread's to take.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void SinkRunner::on_network_up() {
  ++network_events_;
  const std::lock_guard lock(mutex_);
  network_up_ = true;
  woken_.notify_all();
}

void SinkRunner::stop() {
  const std::lock_guard lock(mutex_);
  stop_wanted_ = true;
  woken_.notify_all();
}

void SinkRunner::when_closed(std::function<void()> told) {
  const std::lock_guard lock(mutex_);
  if (closed_.load()) return told();
  on_closed_ = std::move(told);
}

bool SinkRunner::turning() const {
  const std::uint64_t turned_ns = turned_ns_.load();
  return turned_ns == 0 || env_.boottime_ns() < turned_ns + kTurnNsMax;
}

// --- its own thread ---

void SinkRunner::run() {
  while (!stopping()) work();
  turned_ns_.store(0);
  say_goodbye();
  const std::lock_guard lock(mutex_);
  closed_.store(true);
  if (on_closed_) on_closed_();
}

bool SinkRunner::stopping() {
  const std::lock_guard lock(mutex_);
  // The network's coming up ends a pause, and what was learnt before it.
  if (std::exchange(network_up_, false) && state_ == State::kOffline) {
    backoff_.reset();
    retry_at_ns_ = 0;
  }
  return stop_wanted_;
}

/// Until then, or until something happens.
void SinkRunner::pause(std::uint64_t ns) {
  std::unique_lock lock(mutex_);
  woken_.wait_for(lock, nanoseconds(ns), [this] { return stop_wanted_ || network_up_; });
}

void SinkRunner::work() {
  const std::uint64_t now_ns = env_.boottime_ns();
  turned_ns_.store(now_ns);
  if (now_ns - ticked_ns_ >= kTickNs) tick();
  switch (state_) {
    case State::kWaiting:
      open_spill();
      break;
    case State::kConnected:
    case State::kBlocked:
      if (session_) {
        pump();
        break;
      }
      [[fallthrough]];  // blocked so that it ended the session
    default:
      if (now_ns < retry_at_ns_) return pause(std::min(kTickNs, retry_at_ns_ - now_ns));
      try_to_connect();
  }
}

void SinkRunner::open_spill() {
  const auto opened = spill_.open();
  if (opened) return set_state(State::kOffline, error_);
  if (cannot_be_helped(opened.error())) {
    stop();
    return on_fatal_(opened.error());
  }
  set_state(State::kWaiting, opened.error().message);
  if (logged_error_ != error_)
    spdlog::info("{}: waiting for the agent's spill: {}", config_.name, error_);
  logged_error_ = error_;
  pause(kAgentPauseNs);
}

void SinkRunner::try_to_connect() {
  if (spill_.changed()) {
    ++reopened_;
    spill_.close();
    return set_state(State::kWaiting, "");
  }
  if (link_.hindrance().kind != Hindrance::Kind::kNone) return pause(kTickNs);
  if (state_ == State::kOffline) set_state(State::kConnecting, error_);
  sink_->introduce({spill_.gateway().id, gateway_config_.name});
  const auto connected = sink_->connect(kConnectTimeoutNs);
  if (!connected) return stay_away(connected.error());
  std::vector<BlockSource*> sources;
  for (const auto& source : spill_.list()) sources.push_back(source.get());
  SinkSessionOptions options;
  options.gateway = {spill_.gateway().id, gateway_config_.name};
  options.payload = config_.engine.payload;
  options.window_bytes = config_.window_bytes;
  options.window_messages = config_.engine.window_messages;
  options.shares = spill_.shares();
  session_.emplace(std::move(options), sources, *sink_);
  const auto begun = session_->begin(env_.boottime_ns());
  if (!begun) return end_session(begun.error());
  ++connections_;
  set_state(State::kConnected, "");
  spdlog::info("{}: connected to {}", config_.name, config_.url);
  logged_error_.clear();
}

/// What the rate limit lets go now.
std::uint64_t SinkRunner::allowance() {
  const std::uint64_t rate = config_.links.front().rate_limit_bytes_per_s;
  if (rate == 0) return SinkSession::kUnbounded;
  if (link_.rate_wait_ns() != 0) return 0;
  return std::max<std::uint64_t>(rate * RateLimit::kBurstNs / kSecondNs, 1);
}

void SinkRunner::pump() {
  const std::uint64_t stored = session_->stored_messages();
  const std::uint64_t begun_ns = env_.boottime_ns();
  std::uint64_t handed_over = 0;
  if (const std::uint64_t bytes_max = allowance(); bytes_max != 0) {
    auto pumped = session_->pump(begun_ns, bytes_max);
    if (!pumped) return end_session(pumped.error());
    handed_over = *pumped;
    link_.charge_sent(handed_over);
  }
  const std::uint64_t wait_ns = handed_over != 0 ? 0 : poll_ns_;
  const auto collected = session_->collect(env_.boottime_ns(), wait_ns);
  if (!collected) return end_session(collected.error());
  look_at_hindrance();
  const bool moved = handed_over != 0 || session_->stored_messages() != stored;
  if (session_->stored_messages() != stored) backoff_.reset();
  poll_ns_ = moved ? kPollNsMin : std::min(poll_ns_ * 2, kPollNsMax);
  // A client that has nothing to wait for may have come back at once.
  const std::uint64_t took_ns = env_.boottime_ns() - begun_ns;
  if (!moved && took_ns < wait_ns) pause(wait_ns - took_ns);
}

void SinkRunner::look_at_hindrance() {
  const std::string_view hindrance = sink_->hindrance();
  if (hindrance.empty()) {
    if (state_ == State::kBlocked) set_state(State::kConnected, "");
    return;
  }
  session_->still_blocked(env_.boottime_ns());
  if (state_ == State::kBlocked && error_ == hindrance) return;
  spdlog::warn("{}: {}", config_.name, hindrance);
  set_state(State::kBlocked, std::string(hindrance));
}

void SinkRunner::end_session(const Error& error) {
  session_.reset();
  sink_->disconnect();
  if (error.code == ErrorCode::kNewerVersion) {  // a spill of one
    stop();
    return on_fatal_(error);
  }
  stay_away(error);
}

void SinkRunner::stay_away(const Error& error) {
  const std::uint64_t wait_ns = needs_a_person(error) ? backoff_.long_ns(env_.random_u64())
                                                      : backoff_.next_ns(env_.random_u64());
  retry_at_ns_ = env_.boottime_ns() + wait_ns;
  if (error.message != logged_error_) spdlog::warn("{}: {}", config_.name, error.message);
  logged_error_ = error.message;
  set_state(error.code == ErrorCode::kFull ? State::kBlocked : State::kOffline, error.message);
}

// --- once a second ---

void SinkRunner::tick() {
  ticked_ns_ = env_.boottime_ns();
  spill_.sync_cursors();
  if (session_) check_session();
  note_rate();
  status_file_.update(status());
}

void SinkRunner::check_session() {
  if (const auto ticked = session_->on_tick(env_.boottime_ns()); !ticked) {
    return end_session(ticked.error());
  }
  if (session_->untold() != logged_untold_) {
    logged_untold_ = session_->untold();
    spdlog::warn("{}: refused, and not needed by any record: {}", config_.name, logged_untold_);
  }
  spill_.look_for_foreign();
  if (spill_.list().size() != session_->streams()) {
    return end_session({ErrorCode::kUnavailable, "the relay has received other streams"});
  }
  if (spill_.changed()) {
    return end_session({ErrorCode::kUnavailable, "the spill under this uplink is another one now"});
  }
  if (link_.hindrance().kind != Hindrance::Kind::kNone) {
    end_session({ErrorCode::kUnavailable, "its time window closed"});
  }
}

void SinkRunner::say_goodbye() {
  const std::uint64_t until_ns = env_.boottime_ns() + kGoodbyeNs;
  while (session_ && session_->in_flight_messages() != 0 && env_.boottime_ns() < until_ns) {
    if (!session_->collect(env_.boottime_ns(), kPollNsMax)) break;
    std::this_thread::sleep_for(nanoseconds(kPollNsMin));
  }
  if (session_) sink_->disconnect();
  session_.reset();
  spill_.settle_cursors();
  set_state(State::kStopped, "");
  status_file_.update(status());
}

void SinkRunner::set_state(State state, std::string error) {
  if (state != state_) since_utc_ns_ = env_.utc_ns();
  state_ = state;
  error_ = std::move(error);
}

}  // namespace spillway::uplink
