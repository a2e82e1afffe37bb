#include "edge-agent/daemon/agent.h"

#include <algorithm>
#include <ctime>

#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"

namespace spillway::agent {
namespace {

constexpr std::uint64_t kSilenceNs = 1'000'000'000;  // then the bell is armed
constexpr std::uint64_t kBellWaitNs = 500'000'000;   // and never slept on for longer
constexpr std::uint64_t kPressedNapNs = 200'000;     // while lanes fill quickly
constexpr std::uint64_t kPredecessorMaxNs = 3'000'000'000;
constexpr std::uint64_t kPredecessorNapNs = 50'000'000;
constexpr std::uint64_t kWaitNapNs = 50'000'000;       // while there is no spill
constexpr std::uint64_t kLastDrainNs = 2'000'000'000;  // at the end, if producers go on

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

/// No network; and writes where the queue is, and where the spill and whatever may come to stand in its
/// place are. A stream's directory may be a link to another disk.
core::SandboxRules sandbox_rules(const core::Config& config) {
  core::SandboxRules rules;
  rules.writes_below = {config.gateway.queue_dir};
  std::vector<std::string> directories{config.gateway.spill_dir};
  for (const auto& stream : config.streams) {
    directories.push_back(config.gateway.spill_dir + "/" + stream.name);
  }
  for (const std::string& directory : directories) {
    const std::string ground = core::ground_of(directory);
    const auto covers = [&ground](const std::string& other) {
      return (ground + "/").starts_with(other + "/");
    };
    if (std::none_of(rules.writes_below.begin(), rules.writes_below.end(), covers)) {
      rules.writes_below.push_back(ground);
    }
  }
  return rules;
}

}  // namespace

Agent::Agent(core::env::Env& env, const core::Config& config)
    : env_(env), config_(config), place_(config.gateway.spill_dir), nap_ns_(config.gateway.nap_ns) {
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
  agent->status_ = std::make_unique<StatusFile>(env, config.gateway.queue_dir + "/agent.status");
  // Before the worker's thread is there, and before a byte of a lane or of a disk was read.
  if (config.gateway.sandbox) core::lock_down(sandbox_rules(config));
  if (auto opened = agent->open_spill(); !opened) {
    if (cannot_be_helped(opened.error())) return tl::unexpected(std::move(opened).error());
    ++agent->ledger_.open_failures;
    agent->wait_for_spill(opened.error());
  }
  agent->started_ = true;
  return agent;
}

core::Result<void> Agent::run(const std::atomic<bool>& stop, std::atomic<bool>& reload) {
  last_data_ns_ = env_.boottime_ns();
  if (drains()) static_cast<void>(step());
  write_status();
  notifier_.ready();
  auto look = Look::kEverywhere;
  while (!stop.load(std::memory_order_relaxed)) {
    if (reload.exchange(false, std::memory_order_relaxed)) this->reload();
    watch_spill(env_.boottime_ns());
    if (!drains()) {
      nap(kWaitNapNs);
      continue;
    }
    const auto report = step(look);
    rest(report);
    look = report.more ? Look::kWhereRecordsWere : Look::kEverywhere;
  }
  notifier_.stopping();
  if (drains()) return stop_cleanly();
  write_status();
  spdlog::info(
      "stopped while waiting for its spill; what is in the lanes waits for the next agent");
  return {};
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
    return stream && stream->place() == core::PlaceInForce::kMemory;
  });
}

StoreOrder Agent::flash_store(std::uint64_t now_ns) {
  return {&env_, facts_.spill_dir + "/" + kFlashName, flash_->store(now_ns)};
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

void Agent::finish_all_orders() {
  while (worker_->outstanding() != 0) finish(worker_->wait_done());
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
  const auto text = render_status(facts_, streams_, drain_.get(), queue_->rings(), flash_.get(),
                                  ledger_, read_now());
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
    finish_all_orders();
    drain_->request_sync(read_now());
    exchange_orders();
  } while (worker_->outstanding() != 0);
  const std::uint64_t now_ns = env_.boottime_ns();
  flash_->note(read_flash_counters(facts_.spill_dir), drain_->counters().frame_bytes, now_ns);
  write_status();
  if (const auto stored = flash_store(now_ns).run(); !stored) {
    spdlog::warn("the flash meter is not kept: {}", stored.error().message);
  }
  core::Result<void> closed;
  for (auto& stream : streams_) {
    auto one = stream ? stream->close() : core::Result<void>{};
    if (closed && !one) closed = std::move(one);
  }
  SPILLWAY_CHECKED(std::move(closed));
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

bool cannot_be_helped(const core::Error& error) {
  switch (error.code) {
    case core::ErrorCode::kInvalidArgument:
    case core::ErrorCode::kPermission:
    case core::ErrorCode::kBusy:
    case core::ErrorCode::kNewerVersion:
      return true;
    default:
      return false;
  }
}

int start_exit_code(const core::Error& error) {
  return cannot_be_helped(error) || error.code == core::ErrorCode::kNotFound ? 2 : 3;
}

}  // namespace spillway::agent
