#include "uplink/daemon/uplink_runner.h"

#include <algorithm>
#include <utility>

#include "spillway/core/log.h"

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
/// When a link comes up, a session that has waited so long for an answer, and for eight of its round
/// trips, is not waited for: what TCP sends again, it may send again minutes later.
constexpr std::uint64_t kSilentNsMin = 2'000'000'000;
constexpr std::uint64_t kSilentTrips = 8;

}  // namespace

UplinkRunner::UplinkRunner(boost::asio::io_context& io, core::env::Env& env,
                           const core::Config& config, core::UplinkConfig uplink, OnFatal on_fatal)
    : io_(io),
      env_(env),
      gateway_config_(config.gateway),
      config_(std::move(uplink)),
      on_fatal_(std::move(on_fatal)),
      spill_(env, config, config_),
      chooser_(config_.links.size(), config_.reconnect_ns_min, config_.reconnect_ns_max),
      retry_timer_(io),
      poll_timer_(io),
      tick_timer_(io),
      poll_ns_(kPollNsMin),
      since_utc_ns_(env.utc_ns()),
      status_file_(env, gateway_config_.queue_dir + "/uplink-" + config_.name + ".status"),
      trainer_(io) {
  links_.reserve(config_.links.size());
  const bool alone = config_.links.size() == 1;
  for (const core::LinkConfig& link : config_.links) links_.emplace_back(env, link, alone);
}

Result<void> UplinkRunner::prepare() {
  for (UplinkLink& link : links_) SPILLWAY_CHECKED(link.prepare());
  return {};
}

void UplinkRunner::start() {
  tick();
  wait_for_agent();
}

Result<void> UplinkRunner::open_sources() {
  SPILLWAY_CHECKED(spill_.open());
  // Notes of the time and of what the links cost.
  if (!known_time_) known_time_.emplace(env_, spill_.notes_stem() + ".utc");
  for (UplinkLink& link : links_) link.open_budget(spill_.notes_stem());
  return {};
}

void UplinkRunner::wait_for_agent() {
  if (state_ == State::kStopped) return;
  const auto opened = open_sources();
  if (opened) {
    set_state(State::kOffline, error_);
    return choose();
  }
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

// --- which link ---

void UplinkRunner::choose() {
  if (state_ == State::kStopped || state_ == State::kWaiting) return;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    chooser_.allow(i, links_[i].hindrance().kind == Hindrance::Kind::kNone);
  }
  if (active_ == nullptr && trying_ == nullptr && spill_.changed()) {
    ++reopened_;
    session_.reset();
    spill_.close();
    return wait_for_agent();
  }
  if (const auto link = chooser_.decide(env_.boottime_ns())) try_link(*link);
  choose_later();
}

void UplinkRunner::choose_later() {
  retry_timer_.cancel();
  const auto wakes_at_ns = chooser_.wakes_at_ns();
  if (!wakes_at_ns) return;  // the tick looks whether a link is allowed again
  const std::uint64_t now_ns = env_.boottime_ns();
  retry_timer_.expires_after(nanoseconds(*wakes_at_ns - std::min(*wakes_at_ns, now_ns)));
  retry_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) choose();
  });
}

void UplinkRunner::try_link(std::size_t link) {
  if (active_ == nullptr) set_state(State::kConnecting, error_);
  known_time_->look();
  trying_ = std::make_shared<Connection>();
  trying_->link = link;
  const ConnectionPointer made = trying_;
  ++open_sockets_;
  made->socket =
      links_[link].connect(io_, known_time_->utc_ns(),
                           {[this, made] { on_open(made); },
                            [this, made](const Bytes& bytes) { on_message(made, bytes); },
                            [this, made] {
                              if (made == active_) pump();
                            },
                            [this, made](const Error& error) { on_closed(made, error); }});
}

void UplinkRunner::on_network_up() {
  if (state_ == State::kStopped || state_ == State::kWaiting) return;
  ++network_events_;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (active_ != nullptr) {
    const std::uint64_t patience_ns =
        std::max(kSilentNsMin, kSilentTrips * session_->send_window().round_trip_ns());
    if (session_->silent_ns(now_ns) > patience_ns) {
      at_once_ = true;
      end_session({ErrorCode::kUnavailable, "a link came up, and the old connection is silent"},
                  Farewell::kNone);
    }
  }
  if (chooser_.on_event(now_ns) && trying_ != nullptr) {
    trying_->socket->abort();  // on_closed goes on
    return;
  }
  choose();
}

// --- a connection's life ---

void UplinkRunner::on_open(const ConnectionPointer& connection) {
  if (connection != trying_ || state_ == State::kStopped) return;
  trying_.reset();
  if (active_ != nullptr) {
    spdlog::info("{}: going over from link {} to {}", config_.name,
                 links_[active_->link].config().name, links_[connection->link].config().name);
    leave(active_);
  }
  chooser_.opened(connection->link, env_.boottime_ns());
  begin_session(connection);
  choose_later();
}

/// What comes of it later is not heard.
void UplinkRunner::leave(const ConnectionPointer& connection) {
  links_[connection->link].charge(*connection);
  connection->socket->close();
  active_.reset();
}

void UplinkRunner::begin_session(const ConnectionPointer& connection) {
  active_ = connection;
  set_state(State::kConnecting, error_);
  opened_ns_ = env_.boottime_ns();
  welcomed_ = false;
  at_once_ = false;
  // Those that the last Hello had no room for come first.
  const std::size_t left_out = session_ ? session_->left_out() : 0;
  auto& held = spill_.list();
  if (left_out < held.size()) {
    std::rotate(held.begin(), held.end() - static_cast<std::ptrdiff_t>(left_out), held.end());
  }
  named_at_ns_ = opened_ns_;
  std::vector<BlockSource*> sources;
  sources.reserve(held.size());
  for (const auto& source : held) sources.push_back(source.get());
  UplinkSessionOptions options;
  options.gateway = spill_.gateway().id;
  options.gateway_name = gateway_config_.name;
  options.uplink = config_.name;
  options.window_bytes = config_.window_bytes;
  options.offers_short_form = config_.compress;
  options.gather_ns = config_.gather_ns;
  options.shares = spill_.shares();
  options.rate_limit_bytes_per_s = links_[connection->link].config().rate_limit_bytes_per_s;
  session_.emplace(std::move(options), sources);
  auto hello = session_->on_open(env_.boottime_ns());
  if (!hello) return end_session(hello.error(), Farewell::kPolite);
  links_[connection->link].reserve(hello->size());
  connection->meter.handed_over(hello->size());
  connection->socket->send(std::move(*hello));
}

void UplinkRunner::on_message(const ConnectionPointer& connection, const Bytes& bytes) {
  if (connection != active_) return;
  const bool was_streaming = session_->state() == UplinkState::kStreaming;
  const auto outcome = session_->on_message(bytes, env_.boottime_ns());
  if (!outcome) return end_session(outcome.error(), Farewell::kPolite);
  UplinkLink& link = links_[connection->link];
  if (!was_streaming && session_->state() == UplinkState::kStreaming) {
    set_state(State::kConnected, "");
    link.last_error.clear();
    welcomed_ = true;
    ++connections_;
    spdlog::info("{}: connected to {} by link {}", config_.name, link.config().url,
                 link.config().name);
    logged_error_.clear();
  }
  if (session_->progressed()) chooser_.progressed(connection->link);
  pump();
}

void UplinkRunner::on_closed(const ConnectionPointer& connection, const Error& error) {
  links_[connection->link].charge(*connection);
  connection->socket.reset();
  --open_sockets_;
  if (connection == trying_) return on_try_failed(connection, error);
  if (connection == active_) return on_session_closed(connection, error);
  if (closed() && on_stopped_) on_stopped_();
}

void UplinkRunner::on_try_failed(const ConnectionPointer& connection, const Error& error) {
  trying_.reset();
  if (state_ == State::kStopped) {
    if (closed() && on_stopped_) on_stopped_();
    return;
  }
  UplinkLink& link = links_[connection->link];
  link.last_error = error.message;
  chooser_.failed(connection->link, env_.boottime_ns(), env_.random_u64());
  if (active_ == nullptr) {
    if (error.message != logged_error_)
      spdlog::warn("{}: not connected to {} by link {}: {}", config_.name, link.config().url,
                   link.config().name, error.message);
    logged_error_ = error.message;
    set_state(State::kOffline, error.message);
  }
  choose();
}

void UplinkRunner::on_session_closed(const ConnectionPointer& connection, const Error& error) {
  active_.reset();
  poll_timer_.cancel();
  if (state_ == State::kStopped) {
    if (closed() && on_stopped_) on_stopped_();
    return;
  }
  // If the session ended first, its reason is the one to tell.
  const std::string reason = state_ == State::kOffline ? error_ : error.message;
  UplinkLink& link = links_[connection->link];
  link.last_error = reason;
  if (session_->fenced()) ++fenced_;
  if (reason != logged_error_)
    spdlog::warn("{}: not connected to {} by link {}: {}", config_.name, link.config().url,
                 link.config().name, reason);
  logged_error_ = reason;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (welcomed_ && now_ns - opened_ns_ > kSettledNs) {
    chooser_.progressed(connection->link);
  }
  const bool at_once = std::exchange(at_once_, false) && session_->pause() == Pause::kBackoff;
  chooser_.ended(connection->link, at_once ? Pause::kNone : session_->pause(), now_ns,
                 env_.random_u64());
  // Asked to stay away: so long, and a little of chance, for others were told the same.
  if (const std::uint64_t asked_ns = session_->retry_after_ns(); asked_ns != 0) {
    chooser_.stay_away(now_ns + asked_ns + env_.random_u64() % (asked_ns / 8 + 1));
  }
  set_state(State::kOffline, reason);
  choose();
}

/// This end's decision, or the session's: say goodbye and close; on_session_closed goes on from
/// there.
void UplinkRunner::end_session(const Error& error, Farewell farewell) {
  if (error.code == ErrorCode::kNewerVersion && session_->pause() != Pause::kLong) {
    return on_fatal_(error);  // a spill of a newer version
  }
  set_state(State::kOffline, error.message);
  if (farewell == Farewell::kNone) return active_->socket->abort();
  if (session_->farewell()) active_->socket->send(*session_->farewell());
  active_->socket->close();
}

// --- what is sent ---

void UplinkRunner::pump() {
  if (state_ != State::kConnected || active_ == nullptr) return;
  UplinkLink& link = links_[active_->link];
  bool sent = false;
  while (active_->socket->queued() < kQueuedMessagesMax) {
    link.charge(*active_);
    if (link.rate_wait_ns() != 0) break;
    if (link.hindrance().kind == Hindrance::Kind::kBudget) {
      return end_session({ErrorCode::kUnavailable, "its budget is used up"}, Farewell::kPolite);
    }
    auto message = session_->pull(env_.boottime_ns());
    if (!message) return end_session(message.error(), Farewell::kPolite);
    if (!*message) break;
    link.reserve((*message)->size());
    active_->meter.handed_over((*message)->size());
    active_->socket->send(std::move(**message));
    sent = true;
  }
  if (sent) train_dictionaries();
  poll_ns_ = sent ? kPollNsMin : poll_ns_;
  // With a full window or queue, the ack or the socket wakes this again; the poll then costs
  // little.
  poll_later();
}

void UplinkRunner::train_dictionaries() {
  for (const auto& source : spill_.list()) trainer_.serve(source->shared_packer());
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

// --- once a second ---

void UplinkRunner::tick() {
  spill_.sync_cursors();
  look_for_foreign();
  if (known_time_) known_time_->look();
  for (UplinkLink& link : links_) link.tick();
  if (active_ != nullptr) check_session();
  if (state_ != State::kWaiting && state_ != State::kStopped) choose();
  note_rate();
  status_file_.update(status());
  tick_timer_.expires_after(kTick);
  tick_timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) tick();
  });
}

/// Streams that came to the relay since the session began, and those that its Hello had no room for.
void UplinkRunner::look_for_foreign() {
  if (!spill_.is_relay() || !session_ || state_ == State::kWaiting) return;
  spill_.look_for_foreign();
  const bool others =
      session_->left_out() != 0 || spill_.list().size() > session_->streams().size();
  // Many come at once after an outage: one session for all of them.
  if (others && env_.boottime_ns() - named_at_ns_ > SpillSources::kLookNs) session_->renew();
}

void UplinkRunner::check_session() {
  UplinkLink& link = links_[active_->link];
  link.charge(*active_);
  if (state_ != State::kConnected && state_ != State::kConnecting) return;
  // On a slow link a message takes minutes to go out; whether it lives is the socket's to say.
  if (active_->socket->unacked_bytes() != 0) session_->still_sending(env_.boottime_ns());
  const auto outcome = session_->on_tick(env_.boottime_ns());
  if (!outcome) return end_session(outcome.error(), Farewell::kNone);
  if (spill_.changed()) {
    return end_session({ErrorCode::kUnavailable, "the spill under this uplink is another one now"},
                       Farewell::kPolite);
  }
  const auto kind = link.hindrance().kind;
  if (kind == Hindrance::Kind::kNone) return;
  const bool budget = kind == Hindrance::Kind::kBudget;
  end_session(
      {ErrorCode::kUnavailable, budget ? "its budget is used up" : "its time window closed"},
      Farewell::kPolite);
}

void UplinkRunner::stop() {
  if (state_ == State::kStopped) return;
  set_state(State::kStopped, "");
  retry_timer_.cancel();
  poll_timer_.cancel();
  tick_timer_.cancel();
  for (const ConnectionPointer& connection : {active_, trying_}) {
    if (connection == nullptr) continue;
    links_[connection->link].charge(*connection);
    connection->socket->close();
  }
  for (UplinkLink& link : links_) link.settle();
  spill_.settle_cursors();
  status_file_.update(status());
}

void UplinkRunner::set_state(State state, std::string error) {
  if (state != state_) since_utc_ns_ = env_.utc_ns();
  state_ = state;
  error_ = std::move(error);
}

}  // namespace spillway::uplink
