#include "uplink/daemon/spill_sources.h"

#include <algorithm>

#include "spillway/core/log.h"
#include "uplink/session/foreign_sources.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::Result;

namespace {

/// One stream that does not open keeps the others from being sent for no longer than this.
constexpr std::uint64_t kStreamPatienceNs = 3'000'000'000;

}  // namespace

bool cannot_be_helped(const Error& error) {
  return error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kPermission ||
         error.code == ErrorCode::kBusy || error.code == ErrorCode::kNewerVersion;
}

SpillSources::SpillSources(core::env::Env& env, const core::Config& config,
                           const core::UplinkConfig& uplink)
    : env_(env),
      spill_dir_(config.gateway.spill_dir),
      stream_configs_(config.streams),
      uplink_(uplink.name),
      streams_(uplink.streams),
      relay_(uplink.relay) {}

Result<void> SpillSources::open_relay() {
  SPILLWAY_TRY(relay, load_relay(env_, relay_));
  gateway_ = relay;
  SPILLWAY_TRY(found, open_new_foreign(env_, relay_, uplink_, sources_));
  if (found || !sources_.empty()) return {};
  return core::fail(ErrorCode::kNotFound, "the relay in " + relay_ + " has received nothing yet");
}

Result<void> SpillSources::open() {
  if (is_relay()) return open_relay();
  SPILLWAY_TRY(gateway, core::load_gateway(env_, spill_dir_));
  gateway_ = gateway;
  if (waiting_since_ns_ == 0) waiting_since_ns_ = env_.boottime_ns();
  std::vector<std::unique_ptr<StreamSource>> sources;
  std::vector<std::string> missing;
  Result<void> failed;
  for (const std::string& stream : streams_) {
    auto source = StreamSource::open(env_, spill_dir_, stream, uplink_);
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
  if (!failed) spdlog::warn("{}: goes on without: {}", uplink_, failed.error().message);
  waiting_since_ns_ = 0;
  sources_ = std::move(sources);
  missing_ = std::move(missing);
  return {};
}

std::string SpillSources::notes_stem() const {
  if (is_relay()) return relay_ + "/uplink-" + uplink_;
  return spill_dir_ + "/" + streams_.front() + "/cursors/" + uplink_;
}

/// One of the streams that did not open does now.
bool SpillSources::missing_one_is_back() const {
  return std::any_of(missing_.begin(), missing_.end(), [this](const std::string& stream) {
    return StreamSource::open(env_, spill_dir_, stream, uplink_).has_value();
  });
}

bool SpillSources::changed() const {
  const auto moved = [](const auto& source) { return source->moved(); };
  if (std::any_of(sources_.begin(), sources_.end(), moved) || missing_one_is_back()) return true;
  const auto gateway = is_relay() ? load_relay(env_, relay_) : core::load_gateway(env_, spill_dir_);
  return gateway && gateway->id != gateway_.id;
}

std::vector<StreamShare> SpillSources::shares() const {
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

void SpillSources::look_for_foreign() {
  const std::uint64_t now_ns = env_.boottime_ns();
  if (!is_relay() || now_ns - looked_at_ns_ < kLookNs) return;
  looked_at_ns_ = now_ns;
  const auto found = open_new_foreign(env_, relay_, uplink_, sources_);
  const std::string failed = found ? "" : found.error().message;
  if (!failed.empty() && failed != look_error_)
    spdlog::warn("{}: looking for foreign streams: {}", uplink_, failed);
  look_error_ = failed;
}

void SpillSources::sync_cursors() {
  std::string failed;
  for (const auto& source : sources_) {
    if (const auto synced = source->sync_cursor(); !synced) failed = synced.error().message;
  }
  if (!failed.empty() && failed != cursor_error_) {
    spdlog::warn("{}: the cursor is in memory only: {}", uplink_, failed);
  }
  cursor_error_ = failed;
}

void SpillSources::settle_cursors() {
  for (const auto& source : sources_) {
    if (const auto settled = source->settle_cursor(); !settled)
      spdlog::warn("{}: cannot sync the cursor: {}", uplink_, settled.error().message);
  }
}

}  // namespace spillway::uplink
