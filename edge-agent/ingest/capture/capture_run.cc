#include "edge-agent/ingest/capture/capture_run.h"

#include <algorithm>
#include <thread>

#include "spillway/core/log.h"
#include "spillway/core/step.h"

namespace spillway::agent::capture {

using core::Result;

namespace {

constexpr std::chrono::milliseconds kLaneLook{10};
constexpr std::chrono::milliseconds kSpillLook{200};

std::string state_path(const core::CaptureConfig& capture, const char* ending) {
  return capture.state_dir + "/" + capture.name + ending;
}

std::chrono::milliseconds poll_time(const core::CaptureConfig& capture) {
  return std::chrono::milliseconds(capture.poll_interval_ns / 1'000'000);
}

}  // namespace

CaptureRun::CaptureRun(core::env::Env& env, const core::Config& config,
                       const core::CaptureConfig& capture, Source& source, CaptureStatus& status,
                       const std::atomic<bool>& stop)
    : env_(env),
      config_(config),
      capture_(capture),
      source_(source),
      status_(status),
      stop_(stop),
      record_(capture.name, static_cast<std::size_t>(capture.max_record_bytes)) {
  for (const std::string& table : capture.tables) {
    const std::string topic = capture_topic(capture, table);
    if (std::find(topics_.begin(), topics_.end(), topic) == topics_.end()) topics_.push_back(topic);
  }
}

Result<void> CaptureRun::run() {
  auto ended = live();
  // What was put stays in the lanes; they are closed before the next life waits for their end.
  lanes_.reset();
  if (!ended && stop_.load(std::memory_order_relaxed)) return {};
  return ended;
}

Result<void> CaptureRun::live() {
  say("starting");
  SPILLWAY_CHECKED(open_source());
  SPILLWAY_CHECKED(wait_for_old_lanes());
  SPILLWAY_CHECKED(resume());
  SPILLWAY_CHECKED(source_.start(saved_.safe));
  while (!stop_.load(std::memory_order_relaxed)) SPILLWAY_CHECKED(turn());
  return {};
}

Result<void> CaptureRun::open_source() {
  if (!position_) {
    SPILLWAY_TRY(position, PositionFile::open(env_, state_path(capture_, ".position")));
    position_ = std::move(position);
  }
  SPILLWAY_TRY(opened, source_.open(*position_));
  const auto& saved = position_->saved();
  if (saved && saved->epoch == opened.epoch) {
    saved_ = *saved;
    saved_.safe = std::max(saved_.safe, opened.confirmed);
  } else {
    saved_ = SavedPosition{};
    saved_.epoch = opened.epoch;
    saved_.safe = saved_.previous = opened.confirmed;
  }
  record_.set_epoch(opened.epoch);
  status_.edit([&](CaptureCounts& counts) { counts.epoch = opened.epoch; });
  return {};
}

/// The agent removes a lane when it is in the spill, its producer being gone.
Result<void> CaptureRun::wait_for_old_lanes() {
  SPILLWAY_TRY(page, ProgressPage::open(env_, state_path(capture_, ".progress")));
  if (!page) return {};
  for (const std::string& lane : page->lanes()) {
    while (true) {
      SPILLWAY_TRY(there, env_.exists(lane));
      if (!there) break;
      say("waiting for the agent to drain what was put before");
      SPILLWAY_CHECKED(rest(kLaneLook));
    }
  }
  return {};
}

Result<SpillFindings> CaptureRun::search() {
  while (true) {
    auto findings = search_spill(env_, config_, producer_name_of(capture_), saved_);
    if (findings || findings.error().code != core::ErrorCode::kUnavailable) return findings;
    say("waiting for the agent to open the spill");
    SPILLWAY_CHECKED(rest(kSpillLook));
  }
}

Result<void> CaptureRun::resume() {
  SPILLWAY_TRY(findings, search());
  const std::string path = state_path(capture_, ".progress");
  SPILLWAY_TRY(old_page, ProgressPage::open(env_, path));
  const bool page_counts = old_page && old_page->is_valid(saved_.epoch);
  std::vector<std::pair<std::string, Key>> topics;
  resume_.clear();
  resumed_to_ = {};
  for (const std::string& topic : topics_) {
    const auto last = findings.last.find(topic);
    resume_.push_back(
        resume_topic(saved_, page_counts ? old_page->find(topic) : std::nullopt,
                     last == findings.last.end() ? std::nullopt : std::optional<Key>(last->second),
                     findings.complete));
    topics.emplace_back(topic, resume_.back().behind);
    resumed_to_ = std::max(resumed_to_, resume_.back().behind);
  }
  SPILLWAY_TRY(page, ProgressPage::make(env_, path, saved_.epoch, topics));
  page_ = std::move(page);
  first_batch_ = true;
  lanes_ = std::make_unique<LaneSet>(config_, capture_, *page_, [this] { return go_on(); });
  spdlog::info("{}: goes on behind {} of epoch {:016x}", capture_.name, text_of(saved_.safe),
               saved_.epoch);
  return {};
}

Result<void> CaptureRun::turn() {
  batch_.clear();
  SPILLWAY_CHECKED(source_.fetch(batch_, poll_time(capture_)));
  say(source_.state());
  if (batch_.changes.empty()) {
    if (source_.wants_note()) return save_note();
    // What the life before has put behind `safe` is still to come by once more: until then it is open.
    if (!saved_.open || batch_.more || saved_.safe < resumed_to_) return {};
    // If this is lost with the power, the next start is only more careful than it needs to be.
    saved_.open = false;
    return position_->store(saved_, false);
  }
  SPILLWAY_CHECKED(begin_batch());
  for (const Change& change : batch_.changes) SPILLWAY_CHECKED(put_change(change));
  SPILLWAY_CHECKED(lanes_->flush(capture_.power_safe ? Level::kPowerSafe : Level::kProcessSafe));
  SPILLWAY_STEP("capture.flushed");
  SPILLWAY_CHECKED(save());
  SPILLWAY_CHECKED(source_.confirm(saved_.safe));
  SPILLWAY_STEP("capture.confirmed");
  return {};
}

/// The source has moved on without a change for us.
Result<void> CaptureRun::save_note() {
  source_.note(saved_);
  SPILLWAY_CHECKED(position_->store(saved_, true));
  return source_.confirm(saved_.safe);
}

Result<void> CaptureRun::begin_batch() {
  const bool first = !saved_.open;
  saved_.open = true;
  // While records behind `safe` are in the spill, the old marks are what finds them.
  if (first && resumed_to_ <= saved_.safe) saved_.marks = mark_streams(env_, config_);
  const bool noted = source_.note_offered(saved_);
  // What is noted of a later batch is needed after a kill alone.
  if (first || noted) SPILLWAY_CHECKED(position_->store(saved_, first));
  SPILLWAY_STEP("capture.batch_noted");
  return {};
}

std::size_t CaptureRun::entry_of(std::string_view table) const {
  const std::string topic = capture_topic(capture_, std::string(table));
  const auto found = std::find(topics_.begin(), topics_.end(), topic);
  return static_cast<std::size_t>(found - topics_.begin());
}

Result<void> CaptureRun::put_change(const Change& change) {
  const std::size_t entry = entry_of(change.table);
  if (entry == topics_.size()) {
    return core::fail(core::ErrorCode::kProtocol,
                      capture_.name + ": the source offers a change of table " +
                          std::string(change.table) + ", which is not configured");
  }
  parts_ = 0;
  const ResumePoint& point = resume_[entry];
  const Key first{change.key.position, change.key.index, 0};
  // Whole changes: a part that is not put again because it is there already says nothing.
  record_.set_maybe_repeated(first <= point.repeated_until || (point.all_of_batch && first_batch_));
  SPILLWAY_CHECKED(record_.build(
      change, [&](std::uint32_t part, std::span<const std::byte> record) -> Result<void> {
        return put_part(entry, {change.key.position, change.key.index, part}, record);
      }));
  status_.edit([&](CaptureCounts& counts) {
    ++counts.changes;
    if (parts_ > 1) ++counts.split_changes;
    if (change.operation == change::Operation::snapshot) ++counts.snapshot_rows;
    counts.commit_time_us = change.commit_time_us;
  });
  return {};
}

Result<void> CaptureRun::put_part(std::size_t entry, const Key& key,
                                  std::span<const std::byte> record) {
  const ResumePoint& point = resume_[entry];
  ++parts_;
  if (key <= point.behind) {
    status_.edit([](CaptureCounts& counts) { ++counts.already_there; });
    return {};
  }
  SPILLWAY_CHECKED(lanes_->put(entry, topics_[entry], key, record));
  status_.edit([this](CaptureCounts& counts) {
    ++counts.records;
    if (record_.maybe_repeated()) ++counts.maybe_repeated;
  });
  return {};
}

Result<void> CaptureRun::save() {
  saved_.previous = saved_.safe;
  Key last = batch_.changes.back().key;
  last.part = kLastPart;
  // A source may offer again what was safe before, and does not get to more than that at once.
  saved_.safe = std::max(saved_.safe, last);
  first_batch_ = false;
  source_.note(saved_);
  if (resumed_to_ <= saved_.safe) saved_.marks = mark_streams(env_, config_);
  SPILLWAY_CHECKED(position_->store(saved_, true));
  SPILLWAY_STEP("capture.saved");
  status_.edit([this](CaptureCounts& counts) {
    counts.position = text_of(saved_.safe);
    counts.error.clear();
  });
  return {};
}

Result<void> CaptureRun::go_on() {
  if (stop_.load(std::memory_order_relaxed)) {
    return core::fail(core::ErrorCode::kUnavailable, "it was told to stop");
  }
  say("waiting for the agent to take what was put");
  return source_.keep_alive();
}

Result<void> CaptureRun::rest(std::chrono::milliseconds time) {
  if (stop_.load(std::memory_order_relaxed)) {
    return core::fail(core::ErrorCode::kUnavailable, "it was told to stop");
  }
  std::this_thread::sleep_for(time);
  return source_.keep_alive();
}

void CaptureRun::say(const std::string& state) {
  status_.edit([&](CaptureCounts& counts) { counts.state = state; });
}

}  // namespace spillway::agent::capture
