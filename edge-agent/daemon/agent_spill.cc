// How the agent's spill comes and goes: opened, watched, let go of when the disk under it fails or
// is another one.
#include <algorithm>
#include <optional>
#include <utility>

#include "edge-agent/daemon/agent.h"
#include "edge-agent/daemon/reload.h"
#include "spillway/core/log.h"

namespace spillway::agent {
namespace {

constexpr std::uint64_t kLookNs = 1'000'000'000;
/// A stream that failed tries by itself, with its files open, for this long.
constexpr std::uint64_t kFailingNsMax = 3'000'000'000;
constexpr std::uint64_t kGatherNsMax = 50'000'000;  // live data is at most so much older for it
constexpr std::size_t kFlashFileBytesMax = 4096;
constexpr std::size_t kFlashStoresMax = 1;  // under way at a time

void log_event(Severity severity, const std::string& text) {
  switch (severity) {
    case Severity::kInfo:
      spdlog::info("{}", text);
      return;
    case Severity::kWarning:
      spdlog::warn("{}", text);
      return;
    case Severity::kError:
      spdlog::error("{}", text);
      return;
  }
}

core::StreamOptions stream_options(const core::Config& config, const core::StreamConfig& stream,
                                   const core::Uuid& gateway) {
  core::StreamOptions options;
  options.name = stream.name;
  options.directory = config.gateway.spill_dir + "/" + stream.name;
  options.journal_page_path = config.gateway.queue_dir + "/journal/" + stream.name;
  options.gateway = gateway;
  options.segment_bytes = stream.segment_bytes;
  options.max_bytes = stream.max_bytes;
  options.when_full = stream.when_full;
  options.max_age_ns = stream.max_age_ns;
  options.compress = stream.compress;
  options.placement = stream.placement;
  options.memory_directory = config.gateway.queue_dir + "/spill/" + stream.name;
  options.memory_bytes = stream.memory_bytes;
  options.memory_age_ns = stream.memory_age_ns;
  options.uplinks = uplinks_of(config, stream.name);
  return options;
}

}  // namespace

core::Result<void> Agent::open_spill() {
  SPILLWAY_CHECKED(place_.check_mounted());
  SPILLWAY_CHECKED(env_.make_directories(facts_.spill_dir));
  // A disk that has failed is not believed before it has taken something.
  if (ledger_.releases != 0 && flash_) SPILLWAY_CHECKED(probe_disk());
  SPILLWAY_TRY(gateway, claim_gateway());
  facts_.gateway = gateway;
  if (auto opened = open_streams(); !opened) {
    streams_.clear();
    return opened;
  }
  start_drain();
  place_.settle();
  ledger_.place = place_.facts();
  ledger_.waiting_for.clear();
  ledger_.read_only = false;
  failing_since_ns_.clear();
  look_at_spill_ns_ = env_.boottime_ns() + kLookNs;
  spdlog::info("gateway {} ({}) drains {} into {}", facts_.gateway_name, facts_.gateway.id.text(),
               facts_.queue_dir, facts_.spill_dir);
  return {};
}

/// Opening a spill may write nothing. A full disk is none that failed.
core::Result<void> Agent::probe_disk() {
  const auto stored = flash_store(env_.boottime_ns()).run();
  return !stored && stored.error().code == core::ErrorCode::kFull ? core::Result<void>{} : stored;
}

/// A file that no longer says who the gateway is must not keep it from being one.
core::Result<core::Gateway> Agent::claim_gateway() {
  const auto claim = [this] {
    return core::claim_gateway(env_, facts_.spill_dir, core::read_machine_id(), facts_.gateway);
  };
  auto claimed = claim();
  if (claimed || claimed.error().code != core::ErrorCode::kCorrupt) return claimed;
  const std::string path = facts_.spill_dir + "/gateway";
  spdlog::error("{}; kept as {}.damaged, and this is a new gateway now", claimed.error().message,
                path);
  SPILLWAY_CHECKED(env_.rename(path, path + ".damaged"));
  return claim();
}

core::Result<void> Agent::open_streams() {
  ledger_.away.clear();
  std::optional<core::Error> first_error;
  for (std::size_t i = 0; i < config_.streams.size(); ++i) {
    auto opened = open_stream(i);
    streams_.push_back(opened ? std::move(*opened) : nullptr);
    if (opened) continue;
    // Where the others open, one that is not let in is no reason to do nothing.
    const bool is_fatal =
        cannot_be_helped(opened.error()) && opened.error().code != core::ErrorCode::kPermission;
    if (!started_ && is_fatal) return tl::unexpected(opened.error());
    ledger_.away[config_.streams[i].name] = opened.error().message;
    if (!first_error) first_error = std::move(opened).error();
  }
  if (ledger_.away.size() == config_.streams.size()) {
    ledger_.away.clear();  // that is the spill
    return tl::unexpected(std::move(*first_error));
  }
  for (const auto& [name, why] : ledger_.away) {
    ++ledger_.open_failures;
    spdlog::error("stream {} is not open: {}; it is tried once a second, and the others go on",
                  name, why);
  }
  return {};
}

core::Result<std::unique_ptr<core::Stream>> Agent::open_stream(std::size_t index) {
  const auto& stream = config_.streams[index];
  SPILLWAY_TRY(opened,
               core::Stream::open(env_, stream_options(config_, stream, facts_.gateway.id)));
  const auto& recovery = opened->recovery();
  spdlog::info("stream {}: offsets {}..{}, journal {}{}{}", stream.name, opened->oldest_offset(),
               opened->next_offset(), opened->journal().text(), recovery.reason.empty() ? "" : "; ",
               recovery.reason);
  if (!recovery.set_aside.empty()) {
    spdlog::error("stream {}: set aside as *.damaged: {}", stream.name, recovery.set_aside);
  }
  return std::move(opened);
}

void Agent::start_drain() {
  source_ = make_queue_lane_source(*queue_);
  std::vector<StreamSetup> setups;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    setups.push_back(
        {streams_[i].get(), config_.streams[i].topics, config_.streams[i].sync_interval_ns});
  }
  DrainOptions options;
  options.lanes_per_user_max = config_.gateway.lanes_per_user_max;
  options.lane_bytes_per_user_max = config_.gateway.lane_bytes_per_user_max;
  options.gather_ns_max = kGatherNsMax;
  options.counters = ledger_.drained;
  options.boot_id = facts_.boot_id;
  options.log = log_event;
  options.env = &env_;
  options.guard_path = facts_.queue_dir + "/at-work";
  drain_ = std::make_unique<Drain>(*source_, std::move(setups), std::move(options));
  worker_ = std::make_unique<Worker>(streams_.size() * kOrdersPerStreamMax + kFlashStoresMax);
  flash_store_is_out_ = false;
  if (flash_) return;  // it goes on counting, whatever card is in place
  const auto stored =
      core::env::read_file(env_, facts_.spill_dir + "/" + kFlashName, kFlashFileBytesMax);
  const std::string text =
      stored ? std::string(reinterpret_cast<const char*>(stored->data()), stored->size()) : "";
  flash_ = std::make_unique<FlashMeter>(text, facts_.boot_id, read_flash_counters(facts_.spill_dir),
                                        env_.boottime_ns());
}

void Agent::wait_for_spill(const core::Error& error) {
  if (ledger_.waiting_for != error.message) {
    spdlog::error("no spill: {}; until there is one, records stay in their lanes", error.message);
  }
  ledger_.waiting_for = error.message;
  ledger_.read_only = error.code == core::ErrorCode::kReadOnly;
  look_at_spill_ns_ = env_.boottime_ns() + kLookNs;
}

void Agent::try_spill() {
  if (const auto opened = open_spill(); !opened) {
    ++ledger_.open_failures;
    wait_for_spill(opened.error());
  }
  write_status();
}

void Agent::release_spill(const core::Error& why) {
  ++ledger_.releases;
  ledger_.close(streams_, *drain_);
  // The worker first: it waits for the order under way. What a sync says now is asked of nobody.
  ledger_.away.clear();
  worker_.reset();
  drain_.reset();
  source_.reset();
  streams_.clear();
  wait_for_spill(why);
  look_at_spill_ns_ = 0;  // what stands there now is opened at once
}

void Agent::watch_spill(std::uint64_t now_ns) {
  notifier_.alive(now_ns);
  if (now_ns < look_at_spill_ns_) return;
  look_at_spill_ns_ = now_ns + kLookNs;
  ledger_.place = place_.facts();
  if (!drains()) return try_spill();
  check_spill(now_ns);
}

/// A stream's own fault is one that another stream does not share, while the disk takes what is written.
void Agent::check_spill(std::uint64_t now_ns) {
  if (const auto mounted = place_.check_mounted(); !mounted) return release_spill(mounted.error());
  std::vector<std::pair<std::size_t, core::Error>> faults;
  std::size_t open = 0;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (!streams_[i]) continue;
    ++open;
    if (auto checked = check_stream(i, now_ns); !checked) {
      faults.emplace_back(i, std::move(checked).error());
    }
  }
  const bool is_of_the_disk =
      faults.size() == open || (!faults.empty() && !stands_in_memory() && !probe_disk());
  if (is_of_the_disk) return release_spill(faults.front().second);
  for (const auto& [index, why] : faults) release_stream(index, why);
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (!streams_[i]) try_stream(i);
  }
}

/// A stream with records in memory: they can be delivered whatever the disk does, while it is open.
bool Agent::stands_in_memory() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const auto& stream) {
    return stream && stream->place() != core::PlaceInForce::kDisk;
  });
}

core::Result<void> Agent::check_stream(std::size_t index, std::uint64_t now_ns) {
  const core::Stream& stream = *streams_[index];
  SPILLWAY_CHECKED(stream.check_ground());
  const auto& name = stream.options().name;
  if (!drain_->stream_failed(index)) {
    failing_since_ns_.erase(name);
    return {};
  }
  // It cannot be opened again on a disk that fails, but what is in memory can be delivered, which makes
  // room there.
  if (stream.place() != core::PlaceInForce::kDisk && stream.faults().failure.empty()) return {};
  const std::uint64_t since = failing_since_ns_.try_emplace(name, now_ns).first->second;
  if (now_ns - since < kFailingNsMax) return {};
  const auto& failure = stream.faults().failure;
  const auto& trouble = drain_->trouble(index);
  const bool read_only = stream.faults().read_only || trouble.read_only;
  return core::fail(read_only ? core::ErrorCode::kReadOnly : core::ErrorCode::kIo,
                    failure.empty() ? trouble.error : failure);
}

void Agent::release_stream(std::size_t index, const core::Error& why) {
  const std::string name = streams_[index]->options().name;
  spdlog::error("stream {} is let go of and opened anew: {}; the others go on", name, why.message);
  ++ledger_.releases;
  // What is under way works on its files.
  finish_all_orders();
  ledger_.close(*streams_[index], drain_->trouble(index));
  drain_->let_go(index);
  streams_[index].reset();
  failing_since_ns_.erase(name);
  ledger_.away[name] = why.message;
}

void Agent::try_stream(std::size_t index) {
  const auto& name = config_.streams[index].name;
  auto opened = open_stream(index);
  if (!opened) {
    ++ledger_.open_failures;
    if (ledger_.away[name] != opened.error().message) {
      spdlog::error("stream {} is not open: {}", name, opened.error().message);
    }
    ledger_.away[name] = opened.error().message;
    return;
  }
  streams_[index] = std::move(*opened);
  drain_->take_up(index, *streams_[index]);
  ledger_.away.erase(name);
}

// --- a configuration that was read anew ---

void Agent::reload() {
  if (config_.path.empty()) return spdlog::info("there is no configuration file to read anew");
  auto next = core::load_config(config_.path);
  if (!next) {
    spdlog::error("the configuration stays as it was: {}", next.error().message);
    return;
  }
  const ReloadPlan plan = plan_reload(config_, *next);
  for (const std::string& key : plan.for_restart) {
    spdlog::warn("{} has changed in {}: restart the agent for it", key, config_.path);
  }
  if (const auto taken = drains() && !plan.streams.empty() ? probe_disk() : core::Result<void>{};
      !taken) {
    // A stream that stands in memory could not be opened again.
    spdlog::error("the configuration stays as it was while the disk fails: {}",
                  taken.error().message);
    return;
  }
  for (const std::size_t index : plan.streams) take_over(index, *next);
  if (plan.is_empty()) spdlog::info("{} was read anew: nothing has changed", config_.path);
}

/// The stream is closed and opened with its new keys: a few milliseconds in which its records wait in
/// their lanes. The others do not notice.
void Agent::take_over(std::size_t index, const core::Config& next) {
  const std::string name = config_.streams[index].name;
  const core::Config before = config_;
  config_.streams[index] = next.streams[index];
  config_.uplinks = next.uplinks;  // of those that have changed, only streams ask
  spdlog::info("stream {} takes over what has changed in {}", name, config_.path);
  if (!drains()) return;
  if (streams_[index]) {
    finish_all_orders();
    if (const auto closed = streams_[index]->close(); !closed) {
      spdlog::warn("{}", closed.error().message);
    }
    ledger_.close(*streams_[index], drain_->trouble(index));
    drain_->let_go(index);
    streams_[index].reset();
  }
  drain_->configure(index, config_.streams[index].topics, config_.streams[index].sync_interval_ns);
  try_stream(index);
  if (streams_[index]) return;
  spdlog::error("stream {} does not open with its new keys; it keeps those that it had", name);
  config_ = before;
  drain_->configure(index, config_.streams[index].topics, config_.streams[index].sync_interval_ns);
  try_stream(index);
}

}  // namespace spillway::agent
