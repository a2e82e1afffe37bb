#include "tests/sim/gateway.h"

#include <algorithm>

namespace spillway::sim {

namespace {

constexpr std::uint64_t kSegmentBytes = 64 * 1024;
constexpr std::uint64_t kStepsToStop = 120;
constexpr std::uint64_t kRecordsAtOnceMax = 8;
/// What the producers of one gateway put in all.
constexpr std::uint64_t kPutBytesMax = 4U << 20;
constexpr std::uint64_t kPutBytesOverSlowPathMax = 1U << 20;

core::Uuid random_uuid(Random& random) {
  const std::uint64_t high = random.next();
  return core::Uuid::from_random(high, random.next());
}

}  // namespace

Gateway::Gateway(Context& context, Ledger& ledger, std::size_t number, const Path::Accept& listener)
    : context_(context),
      ledger_(ledger),
      name_("g" + std::to_string(number)),
      id_(random_uuid(context.random)),
      machine_(context, name_),
      path_(context, name_ + " path", listener),
      producers_(context),
      put_ns_max_(context.between(100 * kMs, 800 * kMs)),
      put_bytes_left_(path_.is_slow() ? kPutBytesOverSlowPathMax : kPutBytesMax) {
  setup_ = {id_, name_, {}, context.between(64 * 1024, 2048 * 1024)};
  const std::uint64_t streams = context.between(1, 2);
  for (std::size_t i = 0; i < streams; ++i) plan_stream(i);
  journals_.resize(plans_.size());
  machine_.when_stopped([this] { stop(stops_by_power_); });
}

void Gateway::plan_stream(std::size_t number) {
  Random& random = context_.random;
  StreamPlan plan;
  const std::string stream = "s" + std::to_string(number);
  core::StreamOptions& options = plan.options;
  options.name = stream;
  options.directory = std::string(Machine::kSpill) + "/" + stream;
  options.journal_page_path = std::string(Machine::kJournalPages) + "/" + stream;
  options.gateway = id_;
  options.segment_bytes = kSegmentBytes;
  options.max_bytes = 1 << 20;
  options.uplinks = {kUplinkName};
  if (random.chance(40)) options.when_full = core::WhenFull::kRejectNew;
  if (random.chance(15)) options.compress = core::Compress::kAlways;
  if (random.chance(10)) options.max_age_ns = context_.between(4 * kSecond, 12 * kSecond);
  if (random.chance(25)) {
    options.placement = core::Placement::kMemoryFirst;
    options.memory_directory = std::string(Machine::kRun) + "/spill/" + stream;
    options.memory_bytes = 3 * kSegmentBytes;
    options.memory_age_ns = 10 * kSecond;
  }
  plan.sync_interval_ns = context_.between(50 * kMs, 2 * kSecond);
  const std::uint64_t producers = context_.between(1, 2);
  for (std::uint64_t i = 0; i < producers; ++i) {
    const std::string who = "/p" + std::to_string(i);
    producers_.add({name_ + "/" + stream + who,
                    stream,
                    stream + who,
                    random.chance(20) ? 16'000U : context_.between(1, 2'000),
                    {},
                    {}});
  }
  setup_.streams.push_back(stream);
  plans_.push_back(std::move(plan));
}

void Gateway::start(std::uint64_t until_ns) {
  boot();
  put_records(until_ns);
}

void Gateway::boot() {
  boot_ = begin_life();
  context_.trace.note(name_, "boots");
  producers_.boot(machine_.env().boot_id());
  start_agent(1 * kMs);
  start_uplink(1 * kMs);
}

void Gateway::put_records(std::uint64_t until_ns) {
  if (context_.timeline.now_ns() >= until_ns) return;
  context_.timeline.after(context_.between(1 * kMs, put_ns_max_),
                          [this, until_ns] { put_records(until_ns); });
  if (boot_ == nullptr) return;
  const std::size_t producer = context_.random.below(producers_.all().size());
  const std::uint64_t count = context_.between(1, kRecordsAtOnceMax);
  for (std::uint64_t i = 0; i < count && put_bytes_left_ != 0; ++i) {
    const std::uint64_t bytes = producers_.put(producer, machine_.env().boottime_ns());
    put_bytes_left_ -= std::min(put_bytes_left_, bytes);
  }
}

void Gateway::start_agent(std::uint64_t after_ns) {
  context_.timeline.after(after_ns, boot_, [this] {
    agent_ = std::make_unique<Agent>(context_, machine_, producers_, plans_, [this] {
      if (uplink_) uplink_->wake();
    });
    agent_->start();
  });
}

void Gateway::start_uplink(std::uint64_t after_ns) {
  context_.timeline.after(after_ns, boot_, [this] {
    uplink_ = std::make_unique<UplinkProcess>(context_, machine_, path_, ledger_, setup_);
    uplink_->start();
  });
}

void Gateway::kill_agent() {
  if (!agent_) return;
  context_.trace.note(name_, "agent killed");
  agent_.reset();
  if (context_.mutant == Mutant::kLaneReplayed) producers_.forget_consumed();
  start_agent(context_.between(10 * kMs, 3 * kSecond));
}

void Gateway::kill_uplink() {
  if (!uplink_) return;
  context_.trace.note(name_, "uplink killed");
  uplink_.reset();
  start_uplink(context_.between(10 * kMs, 3 * kSecond));
}

void Gateway::stop_soon(bool power) {
  if (boot_ == nullptr || machine_.will_stop()) return;
  stops_by_power_ = power;
  machine_.stop_at_a_step(kStepsToStop);
}

void Gateway::stop(bool power) {
  context_.trace.note(name_, power ? "loses its power" : "everything is killed");
  if (agent_ && agent_->runs()) {
    for (std::size_t i = 0; i < plans_.size(); ++i) journals_[i] = agent_->stream(i).journal();
  }
  if (uplink_ && power) uplink_->lose_power();
  agent_.reset();
  uplink_.reset();
  machine_.forget_stop();
  if (!power) {
    machine_.env().restart_after_kill();
    start_agent(context_.between(10 * kMs, 3 * kSecond));
    start_uplink(context_.between(10 * kMs, 3 * kSecond));
    return;
  }
  boot_.reset();
  producers_.lose_power();
  machine_.env().restart_after_power_cut();
  if (context_.mutant == Mutant::kNoJournalRule) plant_journal_pages();
  context_.timeline.after(context_.between(100 * kMs, 5 * kSecond), [this] { boot(); });
}

/// Pages that claim to be of this boot and to know of nothing: what a stream without the journal rule
/// would believe.
void Gateway::plant_journal_pages() {
  auto& env = machine_.env();
  if (!env.make_directories(Machine::kJournalPages)) return;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    format::JournalPage page;
    page.mutate_magic(core::kJournalMagic);
    page.mutate_version(core::kFormatVersion);
    page.mutate_next_check(~std::uint64_t{0});
    core::set_uuid(*page.mutable_boot_id(), env.boot_id());
    core::set_uuid(*page.mutable_journal(), journals_[i]);
    auto file = env.open(plans_[i].options.journal_page_path, core::env::OpenMode::kOpenOrCreate);
    if (file) static_cast<void>((*file)->write(0, core::bytes_of(page)));
  }
}

void Gateway::back_up() {
  if (boot_ == nullptr || machine_.will_stop()) return;
  context_.trace.note(name_, "backed up");
  backup_ = machine_.back_up();
  backed_up_ = producers_.power_safe();
}

bool Gateway::restore() {
  if (!backup_ || boot_ == nullptr || disk_serial_ % 2 == 1) return false;
  context_.trace.note(name_, "restored");
  stop(true);
  machine_.restore(*backup_);
  producers_.roll_back(backed_up_);
  return true;
}

void Gateway::fill_disk(std::uint64_t for_ns) {
  if (disk_serial_ % 2 == 1) return;
  context_.trace.note(name_, "disk full", for_ns);
  machine_.env().set_capacity_bytes(context_.between(100, 700) * 1024);
  const std::uint64_t serial = ++disk_serial_;
  context_.timeline.after(for_ns, [this, serial] {
    if (serial != disk_serial_) return;
    machine_.env().set_capacity_bytes(UINT64_MAX);
    ++disk_serial_;
  });
}

void Gateway::fail_disk(std::uint64_t for_ns) {
  if (disk_serial_ % 2 == 1) return;
  context_.trace.note(name_, "disk fails", for_ns);
  machine_.note_disk_failure();
  auto& env = machine_.env();
  env.set_failing_place(core::env::FailingPlace::kDisk);
  if (context_.random.chance(50)) {
    env.fail_syncs(true);
  } else if (context_.random.chance(50)) {
    env.fail_at(env.steps() + context_.random.below(kStepsToStop),
                {core::ErrorCode::kIo, "an error of the disk (simulated)"});
  } else {
    env.fail_from(env.steps() + context_.random.below(kStepsToStop),
                  {core::ErrorCode::kIo, "the disk has gone (simulated)"});
  }
  const std::uint64_t serial = ++disk_serial_;
  context_.timeline.after(for_ns, [this, serial] {
    if (serial != disk_serial_) return;
    machine_.env().stop_failing();
    ++disk_serial_;
  });
}

void Gateway::jump_clock() {
  auto& env = machine_.env();
  const std::uint64_t day_ns = 86'400 * kSecond;
  const std::uint64_t utc_ns = env.utc_ns() - 30 * day_ns + context_.between(0, 60 * day_ns);
  context_.trace.note(name_, "clock jumps", utc_ns);
  env.set_utc_ns(utc_ns, context_.random.chance(50));
}

void Gateway::heal() {
  path_.heal();
  machine_.env().set_capacity_bytes(UINT64_MAX);
  machine_.env().stop_failing();
  machine_.forget_stop();
  disk_serial_ += disk_serial_ % 2;
}

}  // namespace spillway::sim
