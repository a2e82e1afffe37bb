#include "edge-agent/daemon/agent.h"

#include <algorithm>
#include <ctime>

#include "spillway/core/log.h"

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSilenceNs = 1'000'000'000;  // then the bell is armed
constexpr std::uint64_t kBellWaitNs = 500'000'000;   // and never slept on for longer
constexpr std::uint64_t kPressedNapNs = 200'000;     // while lanes fill quickly
constexpr std::uint64_t kGatherNsMax = 50'000'000;   // live data is at most so much older for it
constexpr std::uint64_t kPredecessorMaxNs = 3'000'000'000;
constexpr std::uint64_t kPredecessorNapNs = 50'000'000;
constexpr const char* kFlashFile = "/flash";
constexpr std::size_t kFlashFileBytesMax = 4096;
constexpr std::size_t kFlashStoresMax = 1;             // under way at a time
constexpr std::uint64_t kLastDrainNs = 2'000'000'000;  // at the end, if producers go on

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

/// Returns early when a signal arrives: the caller looks at the stop flag then.
void nap(std::uint64_t ns) {
  const timespec time{static_cast<time_t>(ns / 1'000'000'000),
                      static_cast<long>(ns % 1'000'000'000)};
  ::nanosleep(&time, nullptr);
}

/// Another agent may be on its way out: a supervisor that died takes its children along a moment later.
core::Result<std::unique_ptr<shm::QueueDirectory>> open_queue(const std::string& path) {
  auto queue = shm::QueueDirectory::open(path);
  for (std::uint64_t waited = 0; waited < kPredecessorMaxNs; waited += kPredecessorNapNs) {
    if (queue || queue.error().code != core::ErrorCode::kBusy) break;
    nap(kPredecessorNapNs);
    queue = shm::QueueDirectory::open(path);
  }
  return queue;
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
  options.compress = stream.compress;
  options.placement = stream.placement;
  options.memory_directory = config.gateway.queue_dir + "/spill/" + stream.name;
  options.memory_bytes = stream.memory_bytes;
  options.memory_age_ns = stream.memory_age_ns;
  for (const auto& uplink : config.uplinks) {
    const auto& names = uplink.streams;
    if (std::find(names.begin(), names.end(), stream.name) != names.end()) {
      options.uplinks.push_back(uplink.name);
    }
  }
  return options;
}

}  // namespace

Agent::Agent(core::env::Env& env, const core::Config& config)
    : env_(env), nap_ns_(config.gateway.nap_ns) {
  facts_.gateway_name = config.gateway.name;
  facts_.queue_dir = config.gateway.queue_dir;
  facts_.spill_dir = config.gateway.spill_dir;
  facts_.flash_endurance_bytes = config.gateway.flash_endurance_bytes;
  facts_.boot_id = env.boot_id();
  facts_.started_boottime_ns = env.boottime_ns();
}

Agent::~Agent() = default;

core::Result<std::unique_ptr<Agent>> Agent::open(core::env::Env& env, const core::Config& config) {
  std::unique_ptr<Agent> agent(new Agent(env, config));
  // The queue first: its lock refuses a second agent before that one touches anything.
  SPILLWAY_TRY(queue, open_queue(config.gateway.queue_dir));
  agent->queue_ = std::move(queue);
  SPILLWAY_CHECKED(env.make_directories(config.gateway.spill_dir));
  SPILLWAY_TRY(gateway,
               core::claim_gateway(env, config.gateway.spill_dir, core::read_machine_id()));
  agent->facts_.gateway = gateway;
  SPILLWAY_CHECKED(agent->open_streams(config));
  agent->start_drain(config);
  return agent;
}

core::Result<void> Agent::open_streams(const core::Config& config) {
  for (const auto& stream : config.streams) {
    SPILLWAY_TRY(opened,
                 core::Stream::open(env_, stream_options(config, stream, facts_.gateway.id)));
    const auto& recovery = opened->recovery();
    spdlog::info("stream {}: offsets {}..{}, journal {}{}{}", stream.name, opened->oldest_offset(),
                 opened->next_offset(), opened->journal().text(),
                 recovery.reason.empty() ? "" : "; ", recovery.reason);
    if (!recovery.set_aside.empty()) {
      spdlog::error("stream {}: set aside as *.damaged: {}", stream.name, recovery.set_aside);
    }
    streams_.push_back(std::move(opened));
  }
  return {};
}

void Agent::start_drain(const core::Config& config) {
  source_ = make_queue_lane_source(*queue_);
  std::vector<StreamSetup> setups;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    setups.push_back(
        {streams_[i].get(), config.streams[i].topics, config.streams[i].sync_interval_ns});
  }
  DrainOptions options;
  options.lanes_per_user_max = config.gateway.lanes_per_user_max;
  options.lane_bytes_per_user_max = config.gateway.lane_bytes_per_user_max;
  options.gather_ns_max = kGatherNsMax;
  options.boot_id = facts_.boot_id;
  options.log = log_event;
  options.env = &env_;
  options.guard_path = facts_.queue_dir + "/at-work";
  drain_ = std::make_unique<Drain>(*source_, std::move(setups), std::move(options));
  worker_ = std::make_unique<Worker>(streams_.size() * kOrdersPerStreamMax + kFlashStoresMax);
  const auto stored = core::env::read_file(env_, facts_.spill_dir + kFlashFile, kFlashFileBytesMax);
  const std::string text =
      stored ? std::string(reinterpret_cast<const char*>(stored->data()), stored->size()) : "";
  flash_ = std::make_unique<FlashMeter>(text, facts_.boot_id, read_flash_counters(facts_.spill_dir),
                                        env_.boottime_ns());
  status_ = std::make_unique<StatusFile>(env_, facts_.queue_dir + "/agent.status");
}

core::Result<void> Agent::run(const std::atomic<bool>& stop) {
  last_data_ns_ = env_.boottime_ns();
  static_cast<void>(step());
  write_status();
  notifier_.ready();
  spdlog::info("gateway {} ({}) drains {} into {}", facts_.gateway_name, facts_.gateway.id.text(),
               facts_.queue_dir, facts_.spill_dir);
  auto look = Look::kEverywhere;
  while (!stop.load(std::memory_order_relaxed)) {
    const auto report = step(look);
    rest(report);
    look = report.more ? Look::kWhereRecordsWere : Look::kEverywhere;
  }
  notifier_.stopping();
  return stop_cleanly();
}

StepReport Agent::step(Look look) {
  finish(worker_->take_done());
  const Now now = read_now();
  const auto report = drain_->step(now, look);
  exchange_orders();
  if (report.records != 0 || report.gathering) last_data_ns_ = now.boottime_ns;
  notifier_.alive(now.boottime_ns);
  keep_flash_meter(now.boottime_ns);
  if (status_->due(now.boottime_ns)) write_status();
  return report;
}

void Agent::keep_flash_meter(std::uint64_t now_ns) {
  if (!flash_->reading_due(now_ns)) return;
  flash_->note(read_flash_counters(facts_.spill_dir), drain_->counters().frame_bytes, now_ns);
  if (!flash_->store_due(now_ns) || flash_store_is_out_ || spares_flash()) return;
  flash_store_is_out_ = true;
  worker_->submit({0, flash_store(now_ns)});
}

/// While every stream stands in memory nothing is written, not even the count of what is written.
bool Agent::spares_flash() const {
  return std::all_of(streams_.begin(), streams_.end(), [](const auto& stream) {
    return stream->place() == core::PlaceInForce::kMemory;
  });
}

StoreOrder Agent::flash_store(std::uint64_t now_ns) {
  return {&env_, facts_.spill_dir + kFlashFile, flash_->store(now_ns)};
}

void Agent::exchange_orders() {
  for (auto& order : drain_->take_orders()) worker_->submit(std::move(order));
}

void Agent::finish(const std::vector<Worker::Done>& done) {
  if (done.empty()) return;
  const Now now = read_now();
  for (const auto& [order, outcome] : done) {
    if (!std::holds_alternative<StoreOrder>(order.work)) {
      drain_->finish(order, outcome, now);
      continue;
    }
    flash_store_is_out_ = false;
    if (!outcome) spdlog::warn("the flash meter is not kept: {}", outcome.error().message);
  }
}

void Agent::rest(const StepReport& report) {
  if (report.more) return;
  if (report.pressed) {
    nap(std::min(nap_ns_, kPressedNapNs));
    return;
  }
  // With an order out, its answer is waited for by napping: a producer may sleep on it.
  const bool silent = env_.boottime_ns() - last_data_ns_ >= kSilenceNs;
  if (silent && worker_->outstanding() == 0) {
    sleep_on_bell();
  } else {
    nap(nap_ns_);
  }
}

void Agent::sleep_on_bell() {
  queue_->arm();
  // What was committed before the producers could see the bell armed is found here.
  const auto report = step();
  // What gathers would wait for a bell that nobody rings a second time.
  const bool silent =
      report.records == 0 && !report.more && !report.gathering && worker_->outstanding() == 0;
  const bool rung = silent && queue_->wait(kBellWaitNs);
  queue_->disarm();
  // Whoever may make a lane may ring without a record, as often as he likes: it costs him more than
  // the agent.
  if (rung && step().records == 0) nap(nap_ns_);
}

void Agent::write_status() {
  const auto text = render_status(facts_, streams_, *drain_, queue_->rings(), *flash_);
  if (const auto written = status_->write(text, env_.boottime_ns()); !written) {
    spdlog::warn("{}", written.error().message);
  }
}

core::Result<void> Agent::stop_cleanly() {
  const std::uint64_t give_up_at = env_.boottime_ns() + kLastDrainNs;
  drain_->stop_gathering();
  for (auto report = step();
       (report.records != 0 || report.more) && env_.boottime_ns() < give_up_at;) {
    report = step();
  }
  // A sync may be under way; what came after it was planned needs a second one. And segments in
  // memory move one by one, before the last sync.
  do {
    while (worker_->outstanding() != 0) finish(worker_->wait_done());
    drain_->request_sync(read_now());
    exchange_orders();
  } while (worker_->outstanding() != 0);
  const std::uint64_t now_ns = env_.boottime_ns();
  flash_->note(read_flash_counters(facts_.spill_dir), drain_->counters().frame_bytes, now_ns);
  write_status();
  if (const auto stored = flash_store(now_ns).run(); !stored) {
    spdlog::warn("the flash meter is not kept: {}", stored.error().message);
  }
  for (auto& stream : streams_) SPILLWAY_CHECKED(stream->close());
  spdlog::info("stopped");
  return {};
}

Now Agent::read_now() {
  Now now;
  now.boottime_ns = env_.boottime_ns();
  for (std::size_t kind = 1; kind < now.ticks.size(); ++kind) {
    now.ticks[kind] = shm::read_ticks(static_cast<format::ClockKind>(kind));
  }
  now.utc_ns = env_.utc_ns();
  return now;
}

int start_exit_code(const core::Error& error) {
  switch (error.code) {
    case core::ErrorCode::kInvalidArgument:
    case core::ErrorCode::kNotFound:
    case core::ErrorCode::kPermission:
    case core::ErrorCode::kBusy:
    case core::ErrorCode::kNewerVersion:
      return 2;
    default:
      return 3;
  }
}

}  // namespace spillway::agent
