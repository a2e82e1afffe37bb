// Ours: the stream that the agent writes, with the agent's group commit: a second thread runs the
// syncs and makes the next segments' files while the first one appends.
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "bench/durable/durable_log.h"
#include "bench/harness/cores.h"
#include "bench/harness/lane_identity.h"
#include "bench/harness/timer.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/stream.h"

namespace spillway::bench {
namespace {

constexpr std::uint64_t kLaneId = 7;
// The agent's default.
constexpr std::uint64_t kSegmentBytes = 8ULL << 20;
constexpr std::uint64_t kQuotaBytes = 64ULL << 20;

/// What the agent's worker is: at most one sync and one spare are out at a time.
class SyncThread {
 public:
  SyncThread() : thread_([this] { loop(); }) {}
  SyncThread(const SyncThread&) = delete;
  SyncThread& operator=(const SyncThread&) = delete;
  ~SyncThread() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void order(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_all();
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || !work_.empty(); });
      if (work_.empty()) return;
      const auto work = std::move(work_.front());
      work_.erase(work_.begin());
      lock.unlock();
      work();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> work_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

void check(const core::Result<void>& outcome) {
  if (!outcome) die("stream: " + outcome.error().message);
}

class StreamLog final : public DurableLog {
 public:
  explicit StreamLog(const DurableSetup& setup) : setup_(setup) {
    auto& env = core::env::posix_env();
    core::StreamOptions options;
    options.name = "bench";
    options.directory = setup.directory + "/bench";
    options.segment_bytes = kSegmentBytes;
    options.max_bytes = kQuotaBytes;
    options.journal_page_path = setup.directory + "/journal";
    check(env.make_directories(options.directory));
    auto stream = core::Stream::open(env, options);
    if (!stream) die("stream: " + stream.error().message);
    stream_ = std::move(*stream);
    declare();
    make_run();
  }
  ~StreamLog() override { check(stream_->close()); }

  void append_batch(std::span<const std::byte>) override {
    lane_end_ += run_.size();
    core::FrameRun run;
    run.lane_id = kLaneId;
    run.lane_end = lane_end_;
    run.frames = run_;
    run.anchor_ticks = ticks_now();
    run.anchor_boottime_ns = clock_ns();
    auto appended = stream_->append(run);
    // The disk lags by two segments: as the drain does, try again when the sync has ended.
    while (!appended && appended.error().code == core::ErrorCode::kBusy) {
      keep(false);
      appended = stream_->append(run);
    }
    if (!appended) die("stream: " + appended.error().message);
    keep(stream_->sync_is_urgent());
  }

  void finish() override {
    if (setup_.loss == Loss::kAnything) return;
    while (stream_->durable_offset() < stream_->next_offset()) keep(true);
  }

 private:
  void declare();
  void make_run();
  void keep(bool at_once);

  DurableSetup setup_;
  std::unique_ptr<core::Stream> stream_;
  std::vector<std::byte> run_;
  std::uint64_t lane_end_ = 0;
  std::uint64_t sync_at_ns_ = 0;
  std::optional<core::SyncPlan> plan_;
  std::optional<core::SpareOrder> spare_;
  std::atomic<bool> synced_{false};
  core::Result<void> sync_outcome_;
  std::atomic<bool> spare_made_{false};
  core::Result<void> spare_outcome_;
  SyncThread worker_;  // last: it uses the others
};

void StreamLog::declare() {
  check(stream_->declare_lane(make_lane_identity(kLaneId), 0, 0, false));
}

/// kBatch frames, as they stand in a lane.
void StreamLog::make_run() {
  const std::size_t frame = core::frame_bytes(setup_.record_bytes);
  run_.assign(frame * kBatch, std::byte{0});
  const auto word = static_cast<std::uint32_t>(setup_.record_bytes + 1);
  for (std::size_t at = 0; at < run_.size(); at += frame) {
    std::memcpy(run_.data() + at, &word, sizeof word);
    std::memset(run_.data() + at + core::kFrameHeaderBytes, 0x5A, setup_.record_bytes);
  }
}

/// Group commit and spare files, as the agent's drain does after each step.
void StreamLog::keep(bool at_once) {
  if (spare_made_.exchange(false)) stream_->finish_spare(*spare_, spare_outcome_);
  if (auto spare = stream_->order_spare()) {
    spare_ = std::move(spare);
    worker_.order([this] {
      spare_outcome_ = spare_->run();
      spare_made_ = true;
    });
  }
  if (plan_ && synced_.exchange(false)) {
    check(stream_->finish_sync(*plan_, sync_outcome_));
    plan_.reset();
  }
  if (setup_.loss == Loss::kAnything || plan_) return;
  const std::uint64_t now = clock_ns();
  if (!at_once && now < sync_at_ns_) return;
  sync_at_ns_ = now + setup_.interval_ns;
  plan_ = stream_->plan_sync();
  if (!plan_) return;
  worker_.order([this, plan = *plan_] {
    sync_outcome_ = plan.run();
    synced_ = true;
  });
}

const bool kAdded = add_durable_store(
    {"spillway",
     "8 MiB segments, 64 MiB quota, drop-oldest: files are recycled; sync on a second thread",
     "same",
     {Loss::kAnything, Loss::kInterval},
     [](const DurableSetup& setup) { return std::make_unique<StreamLog>(setup); }});

}  // namespace
}  // namespace spillway::bench
