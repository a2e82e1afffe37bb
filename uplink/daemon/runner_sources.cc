// What an uplink drains: this machine's streams, or those that a relay stored.
#include <algorithm>

#include "spillway/core/log.h"
#include "uplink/daemon/uplink_runner.h"
#include "uplink/session/foreign_sources.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::Result;

namespace {

/// One stream that does not open keeps the others from being sent for no longer than this.
constexpr std::uint64_t kStreamPatienceNs = 3'000'000'000;

/// How often a relay's directory is looked at for streams that its session does not name.
constexpr std::uint64_t kLookNs = 2'000'000'000;

}  // namespace

/// By waiting: a person has to change something first.
bool UplinkRunner::cannot_be_helped(const Error& error) {
  return error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kPermission ||
         error.code == ErrorCode::kBusy || error.code == ErrorCode::kNewerVersion;
}

Result<void> UplinkRunner::open_sources() {
  if (!config_.relay.empty()) {
    SPILLWAY_TRY(relay, load_relay(env_, config_.relay));
    gateway_ = relay;
    SPILLWAY_TRY(found, open_new_foreign(env_, config_.relay, config_.name, sources_));
    if (!found && sources_.empty()) {
      return core::fail(ErrorCode::kNotFound,
                        "the relay in " + config_.relay + " has received nothing yet");
    }
    open_notes(config_.relay + "/uplink-" + config_.name);
    return {};
  }
  SPILLWAY_TRY(gateway, core::load_gateway(env_, gateway_config_.spill_dir));
  gateway_ = gateway;
  if (waiting_since_ns_ == 0) waiting_since_ns_ = env_.boottime_ns();
  std::vector<std::unique_ptr<StreamSource>> sources;
  std::vector<std::string> missing;
  Result<void> failed;
  for (const std::string& stream : config_.streams) {
    auto source = StreamSource::open(env_, gateway_config_.spill_dir, stream, config_.name);
    if (source) {
      sources.push_back(std::move(*source));
      continue;
    }
    const bool is_fatal =
        cannot_be_helped(source.error()) && source.error().code != ErrorCode::kPermission;
    if (is_fatal) return tl::unexpected(std::move(source).error());
    missing.push_back(stream);
    failed = tl::unexpected(std::move(source).error());
  }
  const bool is_patient = !failed && failed.error().code != ErrorCode::kPermission &&
                          env_.boottime_ns() - waiting_since_ns_ < kStreamPatienceNs;
  if (!failed && (sources.empty() || is_patient)) return failed;
  if (!failed) spdlog::warn("{}: goes on without: {}", config_.name, failed.error().message);
  waiting_since_ns_ = 0;
  sources_ = std::move(sources);
  missing_ = std::move(missing);
  // Beside the first stream's cursor: where the uplink may write.
  open_notes(gateway_config_.spill_dir + "/" + config_.streams.front() + "/cursors/" +
             config_.name);
  return {};
}

/// Of the time and of what the links cost.
void UplinkRunner::open_notes(const std::string& path_stem) {
  if (!known_time_) known_time_.emplace(env_, path_stem + ".utc");
  for (UplinkLink& link : links_) link.open_budget(path_stem);
}

/// One of the streams that did not open does now.
bool UplinkRunner::missing_one_is_back() const {
  return std::any_of(missing_.begin(), missing_.end(), [this](const std::string& stream) {
    return StreamSource::open(env_, gateway_config_.spill_dir, stream, config_.name).has_value();
  });
}

/// Other files stand under the names of those that are open, or another gateway's id.
bool UplinkRunner::spill_changed() {
  const auto moved = [](const auto& source) { return source->moved(); };
  if (std::any_of(sources_.begin(), sources_.end(), moved) || missing_one_is_back()) return true;
  const auto gateway = config_.relay.empty() ? core::load_gateway(env_, gateway_config_.spill_dir)
                                             : load_relay(env_, config_.relay);
  return gateway && gateway->id != gateway_.id;
}

/// Those that are relayed share alike: [[stream]] says nothing of other gateways' streams.
std::vector<StreamShare> UplinkRunner::shares() const {
  std::vector<StreamShare> shares;
  for (const auto& source : sources_) {
    const auto found =
        std::find_if(stream_configs_.begin(), stream_configs_.end(),
                     [&](const auto& stream) { return stream.name == source->name(); });
    const bool known = source->origin() == nullptr && found != stream_configs_.end();
    shares.push_back(known ? StreamShare{found->priority, found->weight} : StreamShare{});
  }
  return shares;
}

/// Streams that came to the relay since the session began, and those that its Hello had no room for.
void UplinkRunner::look_for_foreign() {
  if (config_.relay.empty() || !session_ || state_ == State::kWaiting) return;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (now_ns - looked_at_ns_ < kLookNs) return;
  looked_at_ns_ = now_ns;
  const auto found = open_new_foreign(env_, config_.relay, config_.name, sources_);
  const std::string failed = found ? "" : found.error().message;
  if (!failed.empty() && failed != look_error_)
    spdlog::warn("{}: looking for foreign streams: {}", config_.name, failed);
  look_error_ = failed;
  const bool others = session_->left_out() != 0 || sources_.size() > session_->streams().size();
  // Many come at once after an outage: one session for all of them.
  if (others && now_ns - named_at_ns_ > kLookNs) session_->renew();
}

}  // namespace spillway::uplink
