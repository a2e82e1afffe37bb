// CaptureRun: one life of a capture, from the source's opening to an error or the end.
//
//   open the source -> wait until the lanes of the life before are drained -> search the spill
//     -> then, batch by batch:
//        fetch -> note the batch as open (synced) -> put -> flush to the level -> save (synced)
//              -> confirm to the source, which forgets
//
// One thread; `status` alone is shared. Invariants, with those of position_file.h:
//  1. The source forgets a change only when it is as safe as `level` asks for and that is saved.
//  2. What has been put once, and arrived, is not put again: resume.h says where each topic goes on.
//  3. A killed capture's lanes are drained before a new one is made: the order within a topic holds.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "edge-agent/ingest/capture/change_record.h"
#include "edge-agent/ingest/capture/lane_set.h"
#include "edge-agent/ingest/capture/resume.h"
#include "edge-agent/ingest/capture/source.h"

namespace spillway::agent::capture {

/// What `spillway status` says of a capture.
struct CaptureCounts {
  std::string state = "starting";
  std::string error;
  std::uint64_t changes = 0;
  std::uint64_t records = 0;
  std::uint64_t snapshot_rows = 0;
  std::uint64_t split_changes = 0;  // of several records
  std::uint64_t already_there = 0;  // records that were in the spill, or delivered, after a restart
  std::uint64_t maybe_repeated = 0;  // records that say so
  std::uint64_t lives = 0;           // of this process
  std::uint64_t epoch = 0;
  std::string position;
  std::int64_t commit_time_us = 0;  // of the last change
};

class CaptureStatus {
 public:
  template <typename Edit>
  void edit(Edit edit_counts) {
    const std::lock_guard lock(mutex_);
    edit_counts(counts_);
  }
  [[nodiscard]] CaptureCounts read() {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  std::mutex mutex_;
  CaptureCounts counts_;
};

class CaptureRun {
 public:
  CaptureRun(core::env::Env& env, const core::Config& config, const core::CaptureConfig& capture,
             Source& source, CaptureStatus& status, const std::atomic<bool>& stop);

  /// Until it is told to stop (no error), or something fails.
  [[nodiscard]] core::Result<void> run();

 private:
  [[nodiscard]] core::Result<void> live();
  [[nodiscard]] core::Result<void> open_source();
  [[nodiscard]] core::Result<void> wait_for_old_lanes();
  [[nodiscard]] core::Result<SpillFindings> search();
  [[nodiscard]] core::Result<void> resume();
  [[nodiscard]] core::Result<void> turn();
  [[nodiscard]] core::Result<void> begin_batch();
  [[nodiscard]] core::Result<void> put_change(const Change& change);
  [[nodiscard]] core::Result<void> put_part(std::size_t entry, const Key& key,
                                            std::span<const std::byte> record);
  [[nodiscard]] core::Result<void> save();
  [[nodiscard]] core::Result<void> save_note();
  [[nodiscard]] core::Result<void> go_on();
  [[nodiscard]] core::Result<void> rest(std::chrono::milliseconds time);
  [[nodiscard]] std::size_t entry_of(std::string_view table) const;
  void say(const std::string& state);

  core::env::Env& env_;
  const core::Config& config_;
  const core::CaptureConfig& capture_;
  Source& source_;
  CaptureStatus& status_;
  const std::atomic<bool>& stop_;

  std::vector<std::string> topics_;  // by the page's entry; tables may share one
  std::unique_ptr<PositionFile> position_;
  std::unique_ptr<ProgressPage> page_;
  std::unique_ptr<LaneSet> lanes_;
  ChangeRecord record_;
  SavedPosition saved_;
  std::vector<ResumePoint> resume_;  // by the page's entry
  Key resumed_to_;                   // the furthest of them
  bool first_batch_ = true;
  Batch batch_;
  std::uint64_t parts_ = 0;  // of the change that is put
};

}  // namespace spillway::agent::capture
