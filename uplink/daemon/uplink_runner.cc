#include "uplink/daemon/uplink_runner.h"

#include <algorithm>

#include "spillway/core/log.h"
#include "uplink/link/proxy.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::Result;
using std::chrono::nanoseconds;

namespace {

constexpr std::chrono::seconds kAgentPause{1};
constexpr std::chrono::seconds kTick{1};
constexpr std::uint64_t kPollNsMin = 2'000'000;
constexpr std::uint64_t kPollNsMax = 20'000'000;
/// A session that lasted this long was a good one, even if there was nothing to acknowledge.
constexpr std::uint64_t kSettledNs = 5'000'000'000;
/// Messages handed to the socket and not yet taken by the kernel: enough to keep it busy while the
/// next is made.
constexpr std::size_t kQueuedMessagesMax = 2;

/// By waiting: a person has to change something first.
bool cannot_be_helped(const Error& error) {
  return error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kPermission ||
         error.code == ErrorCode::kBusy || error.code == ErrorCode::kNewerVersion;
}

}  // namespace

UplinkRunner::UplinkRunner(boost::asio::io_context& io, core::env::Env& env,
                           const core::GatewayConfig& gateway, core::UplinkConfig config,
                           OnFatal on_fatal)
    : io_(io),
      env_(env),
      gateway_config_(gateway),
      config_(std::move(config)),
      on_fatal_(std::move(on_fatal)),
      backoff_(config_.reconnect_ns_min, config_.reconnect_ns_max),
      retry_timer_(io),
      poll_timer_(io),
      tick_timer_(io),
      poll_ns_(kPollNsMin),
      since_utc_ns_(env.utc_ns()),
      status_file_(env, gateway_config_.queue_dir + "/uplink-" + config_.name + ".status") {}

Result<void> UplinkRunner::prepare() {
  SPILLWAY_TRY(endpoint, parse_endpoint(config_.url));
  target_.endpoint = endpoint;
  SPILLWAY_TRY(proxy, proxy_of(config_.proxy));
  target_.proxy = proxy;
  target_.timeouts.ping =
      std::chrono::duration_cast<std::chrono::milliseconds>(nanoseconds(config_.ping_interval_ns));
  if (!endpoint.tls) return {};
  SPILLWAY_TRY(tls, TlsFiles::open(TlsRole::kClient, config_.tls));
  target_.tls = tls;
  return {};
}

void UplinkRunner::start() {
  tick();
  wait_for_agent();
}

void UplinkRunner::wait_for_agent() {
  if (state_ == State::kStopped) return;
  const auto opened = open_sources();
  if (opened) return connect();
  if (cannot_be_helped(opened.error())) return on_fatal_(opened.error());
  set_state(State::kWaiting, opened.error().message);
  if (logged_error_ != error_)
    spdlog::info("{}: waiting for the agent's spill: {}", config_.name, error_);
  logged_error_ = error_;
  retry_timer_.expires_after(kAgentPause);
  retry_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) wait_for_agent();
  });
}

Result<void> UplinkRunner::open_sources() {
  SPILLWAY_TRY(gateway, core::load_gateway(env_, gateway_config_.spill_dir));
  gateway_ = gateway;
  std::vector<std::unique_ptr<StreamSource>> sources;
  for (const std::string& stream : config_.streams) {
    SPILLWAY_TRY(source, StreamSource::open(env_, gateway_config_.spill_dir, stream, config_.name));
    sources.push_back(std::move(source));
  }
  sources_ = std::move(sources);
  // Beside the first stream's cursor: where the uplink may write.
  if (!known_time_) {
    known_time_.emplace(env_, gateway_config_.spill_dir + "/" + config_.streams.front() +
                                  "/cursors/" + config_.name + ".utc");
  }
  return {};
}

/// Other files stand under the names of those that are open, or another gateway's id.
bool UplinkRunner::spill_changed() {
  const auto moved = [](const auto& source) { return source->moved(); };
  if (std::any_of(sources_.begin(), sources_.end(), moved)) return true;
  const auto gateway = core::load_gateway(env_, gateway_config_.spill_dir);
  return gateway && gateway->id != gateway_.id;
}

void UplinkRunner::connect() {
  if (state_ == State::kStopped) return;
  if (spill_changed()) {
    ++reopened_;
    session_.reset();
    sources_.clear();
    return wait_for_agent();
  }
  set_state(State::kConnecting, error_);
  std::vector<BlockSource*> sources;
  for (const auto& source : sources_) sources.push_back(source.get());
  session_.emplace(
      UplinkSessionOptions{gateway_.id, gateway_config_.name, config_.name, config_.window_bytes},
      sources);
  known_time_->look();
  target_.known_utc_ns = known_time_->utc_ns();
  socket_ =
      connect_websocket(io_, target_,
                        {[this] { on_open(); }, [this](const Bytes& bytes) { on_message(bytes); },
                         [this] { pump(); }, [this](const Error& error) { on_closed(error); }});
}

void UplinkRunner::on_open() {
  auto hello = session_->on_open(env_.boottime_ns());
  if (!hello) return end_session(hello.error());
  socket_->send(std::move(*hello));
}

void UplinkRunner::on_message(const Bytes& bytes) {
  const bool was_streaming = session_->state() == UplinkState::kStreaming;
  const auto outcome = session_->on_message(bytes, env_.boottime_ns());
  if (!outcome) return end_session(outcome.error());
  if (!was_streaming && session_->state() == UplinkState::kStreaming) {
    set_state(State::kConnected, "");
    ++connections_;
    spdlog::info("{}: connected to {}", config_.name, config_.url);
    logged_error_.clear();
  }
  if (session_->progressed()) backoff_.reset();
  pump();
}

void UplinkRunner::pump() {
  if (state_ != State::kConnected || socket_ == nullptr) return;
  bool sent = false;
  while (socket_->queued() < kQueuedMessagesMax) {
    auto message = session_->pull(env_.boottime_ns());
    if (!message) return end_session(message.error());
    if (!*message) break;
    socket_->send(std::move(**message));
    sent = true;
  }
  poll_ns_ = sent ? kPollNsMin : poll_ns_;
  // With a full window or queue, the ack or the socket wakes this again; the poll then costs
  // little.
  poll_later();
}

void UplinkRunner::poll_later() {
  if (polling_) return;
  polling_ = true;
  poll_timer_.expires_after(nanoseconds(poll_ns_));
  poll_timer_.async_wait([this](const auto& cancelled) {
    polling_ = false;
    if (cancelled) return;
    poll_ns_ = std::min(poll_ns_ * 2, kPollNsMax);
    pump();
  });
}

/// This end's decision, or the session's: say goodbye and close; on_closed goes on from there.
void UplinkRunner::end_session(const Error& error) {
  if (error.code == ErrorCode::kNewerVersion && session_->pause() != Pause::kLong) {
    return on_fatal_(error);  // a spill of a newer version
  }
  set_state(State::kOffline, error.message);
  if (session_->farewell()) socket_->send(*session_->farewell());
  socket_->close();
}

void UplinkRunner::on_closed(const Error& error) {
  socket_.reset();
  poll_timer_.cancel();
  if (state_ == State::kStopped) {
    if (on_stopped_) on_stopped_();
    return;
  }
  // If the session ended first, its reason is the one to tell.
  const std::string reason = state_ == State::kOffline ? error_ : error.message;
  if (session_->fenced()) ++fenced_;
  if (reason != logged_error_)
    spdlog::warn("{}: not connected to {}: {}", config_.name, config_.url, reason);
  logged_error_ = reason;
  if (state_ == State::kConnected && env_.utc_ns() - since_utc_ns_ > kSettledNs) backoff_.reset();
  set_state(State::kOffline, reason);
  retry_later();
}

void UplinkRunner::retry_later() {
  std::uint64_t wait_ns = Backoff::kWaitNsMin;
  if (session_->pause() == Pause::kBackoff) wait_ns = backoff_.next_ns(env_.random_u64());
  if (session_->pause() == Pause::kLong) wait_ns = backoff_.long_ns(env_.random_u64());
  spdlog::debug("{}: trying again in {} ms", config_.name, wait_ns / 1'000'000);
  retry_timer_.expires_after(nanoseconds(wait_ns));
  retry_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) connect();
  });
}

void UplinkRunner::tick() {
  sync_cursors();
  if (known_time_) known_time_->look();
  status_file_.update(status());
  if (state_ == State::kConnected || state_ == State::kConnecting) {
    // On a slow link a message takes minutes to go out; whether it lives is the socket's to say.
    if (socket_->unacked_bytes() != 0) session_->still_sending(env_.boottime_ns());
    const auto outcome = session_->on_tick(env_.boottime_ns());
    if (!outcome) {
      end_session(outcome.error());
    } else if (spill_changed()) {
      end_session({ErrorCode::kUnavailable, "the spill under this uplink is another one now"});
    }
  }
  tick_timer_.expires_after(kTick);
  tick_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) tick();
  });
}

void UplinkRunner::sync_cursors() {
  std::string failed;
  for (const auto& source : sources_) {
    // Not power-safe is not lost: the consumer's Welcome decides where sending starts. Tried again
    // next second.
    if (const auto synced = source->sync_cursor(); !synced) failed = synced.error().message;
  }
  if (!failed.empty() && failed != cursor_error_) {
    spdlog::warn("{}: the cursor is in memory only: {}", config_.name, failed);
  }
  cursor_error_ = failed;
}

void UplinkRunner::stop() {
  if (state_ == State::kStopped) return;
  set_state(State::kStopped, "");
  retry_timer_.cancel();
  poll_timer_.cancel();
  tick_timer_.cancel();
  if (socket_ != nullptr) socket_->close();
  for (const auto& source : sources_) {
    if (const auto settled = source->settle_cursor(); !settled)
      spdlog::warn("{}: cannot sync the cursor: {}", config_.name, settled.error().message);
  }
  status_file_.update(status());
}

void UplinkRunner::set_state(State state, std::string error) {
  if (state != state_) since_utc_ns_ = env_.utc_ns();
  state_ = state;
  error_ = std::move(error);
}

UplinkStatus UplinkRunner::status() const {
  static constexpr const char* kNames[] = {"waiting for the agent", "connecting", "connected",
                                           "offline", "stopped"};
  UplinkStatus status{config_.name,  kNames[static_cast<std::size_t>(state_)],
                      config_.url,   error_,
                      since_utc_ns_, connections_,
                      fenced_,       reopened_,
                      cursor_error_, {}};
  if (!session_) return status;
  for (const StreamPump& pump : session_->streams()) {
    status.streams.push_back(
        {pump.name(), pump.journal().text(), pump.acked_offset(), pump.sent_offset()});
  }
  return status;
}

}  // namespace spillway::uplink
