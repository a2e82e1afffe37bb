// Group commit. What is not known to be power-safe is the list `unsynced_`: usually the end of the
// active segment; from a roll to the end of the next group commit that of the segment before, too.
//
// After a sync that failed the kernel may have dropped the pages and calls them clean: asking again
// proves nothing. So the unsynced blocks are taken from the page cache, each checked, and written again
// into a new segment, whose base offset overrides; it gets its name only after it was synced. If
// that fails, too, the stream has failed: it stays readable, nothing more is called power-safe, and
// collect() tries again.
#include <algorithm>
#include <utility>

#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"

namespace spillway::core {

struct StreamImpl::Rewritten {
  std::shared_ptr<SegmentWriter> segment;
  std::uint64_t next_offset = 0;
};

void StreamImpl::note_durable() {
  std::erase_if(departed_, [this](const Departed& gone) {
    return gone.next_offset <= unsynced_.front().offset;
  });
  control_->set_durable(durable_offset(), journal_.id);
  page_->set_durable(durable_offset());
  // What was freed in memory was never on the disk: its page speaks of what stands there.
  if (disk_control_ && first_in_memory() == nullptr) {
    disk_control_->set_durable(durable_offset(), journal_.id);
  }
}

std::optional<SyncPlan> StreamImpl::plan_sync() {
  const bool clean = unsynced_.size() == 1 && unsynced_.front().position == active_->tail();
  if (sync_ || clean || memory_comes_first() || !faults_.failure.empty()) return std::nullopt;
  age_.expect();
  if (is_active_in_memory()) {
    const Unsynced& last = unsynced_.back();
    sync_ = SyncUnderWay{++sync_generation_, active_, last.position, last.offset};
  } else {
    // Bytes that this sync covers are never written again: a torn rewrite would harm them.
    active_->skip_to_next_page();
    sync_ = SyncUnderWay{++sync_generation_, active_, active_->tail(), next_offset_};
  }
  SyncPlan plan{&env_, {}, {}, sync_->offset, sync_generation_};
  for (const Unsynced& part : unsynced_) {
    if (part.segment->info().in_memory) continue;
    plan.files.push_back(part.segment->file());
    if (!part.name_is_safe) plan.directory = options_.directory;
  }
  return plan;
}

Result<void> SyncPlan::run() const {
  for (const auto& file : files) SPILLWAY_CHECKED(file->sync_data());
  return directory.empty() ? Result<void>{} : env->sync_directory(directory);
}

/// Before a roll: at most one segment may still wait for its sync behind the new one. Where group
/// commits keep up with the appends there is nothing to do.
Result<void> StreamImpl::sync_earlier_segments() {
  while (unsynced_.size() > 1) {
    const auto plan = plan_sync();
    if (!plan) {
      return fail(ErrorCode::kBusy,
                  what() + "two whole segments wait for the disk: the sync is under way");
    }
    SPILLWAY_CHECKED(finish_sync(*plan, plan->run()));
  }
  return {};
}

Result<void> StreamImpl::finish_sync(const SyncPlan& plan, const Result<void>& outcome) {
  // A plan from before a rewrite: the rewrite has settled it.
  if (!sync_ || plan.generation != sync_->generation) return {};
  const SyncUnderWay done = *std::exchange(sync_, std::nullopt);
  if (!outcome) return sync_failed(outcome.error());
  while (unsynced_.front().segment != done.segment) unsynced_.pop_front();
  Unsynced& part = unsynced_.front();
  part.position = done.position;
  part.offset = done.offset;
  part.name_is_safe = true;
  if (part.segment == active_) active_->note_earlier_segments_safe();
  note_durable();
  return {};
}

Result<void> StreamImpl::sync_failed(const Error& error) {
  sync_.reset();
  ++faults_.sync_failures;
  page_->set_suspect(true);
  auto rewritten = rewrite_unsynced();
  if (rewritten) return {};
  faults_.read_only = rewritten.error().code == ErrorCode::kReadOnly;
  faults_.failure =
      what() + "a sync failed (" + error.message + ") and writing the records again failed (" +
      rewritten.error().message +
      "): nothing new is power-safe until the disk works again; it is tried once a second";
  return failed();
}

tl::unexpected<Error> StreamImpl::failed() const {
  return fail(faults_.read_only ? ErrorCode::kReadOnly : ErrorCode::kIo, faults_.failure);
}

Result<void> StreamImpl::rewrite_unsynced() {
  std::uint64_t bytes = kSegmentHeaderBytes + head_bytes() + kPageBytes + live_dictionary_bytes() +
                        departed_.size() * block_bytes(sizeof(format::LaneDeclaration));
  for (const Unsynced& part : unsynced_) bytes += part.segment->tail() - part.position;
  bytes += block_bytes(run_bytes_max());
  bytes = std::max(options_.segment_bytes, round_up(bytes, kPageBytes));
  SPILLWAY_TRY(path, prepare_file(bytes, false, Use::kBeginning));
  SPILLWAY_TRY(copy, copy_unsynced(path, bytes));
  copy.segment->skip_to_next_page();
  SPILLWAY_CHECKED(copy.segment->file()->sync_data());
  SegmentInfo info = copy.segment->info();
  SPILLWAY_CHECKED(name_segment_safely(info));
  SPILLWAY_TRY(segment, SegmentWriter::open(env_, info, copy.segment->tail()));
  adopt(segment);
  active_->note_earlier_segments_safe();
  unsynced_.assign(1, {active_, active_->tail(), copy.next_offset, true});
  forget_overridden_memory();
  if (copy.next_offset < next_offset_) SPILLWAY_CHECKED(begin_after_loss(copy.next_offset));
  ++faults_.rewrites;
  faults_.failure.clear();
  faults_.read_only = false;
  page_->set_suspect(false);
  note_durable();
  return {};
}

/// Copies block by block, each checked under its old salt and sealed with the new one; stops at the
/// first that is bad.
Result<StreamImpl::Rewritten> StreamImpl::copy_unsynced(const std::string& path,
                                                        std::uint64_t bytes) {
  const std::uint64_t base_offset = durable_offset();
  SPILLWAY_TRY(info, write_header(path, base_offset, bytes));
  SPILLWAY_TRY(segment, SegmentWriter::open(env_, info, kSegmentHeaderBytes));
  segment->note_earlier_segments_safe();  // before its base everything is
  SPILLWAY_CHECKED(write_head(*segment, base_offset));
  SPILLWAY_CHECKED(write_departed(*segment, base_offset));
  SPILLWAY_CHECKED(write_live_dictionaries(*segment, base_offset));
  Rewritten rewritten{segment, base_offset};
  for (const Unsynced& part : unsynced_) {
    if (part.offset != rewritten.next_offset) break;
    FileWindow source(part.segment->file());
    SegmentScan scan(part.segment->info().header);
    scan.resume_at(part.position, part.offset);
    while (true) {
      SPILLWAY_TRY(block, scan.next(source));
      if (!block || block->kind() == format::BlockKind::seal) break;
      SPILLWAY_CHECKED(segment->write_block(block->header, block->stored, draft_));
    }
    rewritten.next_offset = scan.next_offset();
  }
  return rewritten;
}

/// Some pages were gone from memory as well: an exact gap, and a new journal behind it.
Result<void> StreamImpl::begin_after_loss(std::uint64_t lost_from) {
  SPILLWAY_CHECKED(
      gaps_->record({lost_from, next_offset_, format::GapReason::io_error, env_.utc_ns()}));
  SPILLWAY_TRY(path, prepare_file(options_.segment_bytes, false, Use::kBeginning));
  const Journal before = journal_;
  journal_ = {Uuid::from_random(env_.random_u64(), env_.random_u64()), before.sequence + 1,
              next_offset_};
  if (auto begun = begin_journal_segment(path, JournalReason::kIoError); !begun) {
    journal_ = before;
    return begun;
  }
  page_->begin(env_, journal_.id, next_offset_, next_offset_);
  return {};
}

}  // namespace spillway::core
