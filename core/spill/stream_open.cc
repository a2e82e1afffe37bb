#include <algorithm>
#include <utility>

#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, kJournalReasons> kReasonNames{
    "new_stream", "other_boot", "other_journal", "wiped", "records_gone", "io_error"};
constexpr std::uint64_t kSegmentBytesMin = 64 * 1024;
constexpr std::uint64_t kSegmentBytesMax = 1ULL << 30;
constexpr std::uint64_t kMaxBytesMin = 1 << 20;
constexpr std::uint64_t kClockStepNs = 100'000'000;

}  // namespace

std::string_view name_of(JournalReason reason) {
  return kReasonNames[static_cast<std::size_t>(reason)];
}

Result<void> StreamImpl::check_options() const {
  const auto refuse = [this](const std::string& rule) {
    return fail(ErrorCode::kInvalidArgument, what() + rule);
  };
  if (options_.name.empty() || options_.name.size() > 63) {
    return refuse("its name must have 1 to 63 characters");
  }
  if (options_.max_bytes < kMaxBytesMin) return refuse("max_bytes must be at least 1MiB");
  if (options_.segment_bytes % kPageBytes != 0 || options_.segment_bytes < kSegmentBytesMin ||
      options_.segment_bytes > kSegmentBytesMax) {
    return refuse("segment_bytes must be a multiple of 4096 from 64KiB to 1GiB");
  }
  if (options_.segment_bytes > options_.max_bytes / 4) {
    return refuse("segment_bytes must be at most a quarter of max_bytes");
  }
  if (memory_first() && options_.memory_bytes / 2 < options_.segment_bytes) {
    return refuse("memory_bytes must hold at least two segments");
  }
  if (memory_first() && options_.memory_directory.empty()) {
    return refuse("placement \"memory-first\" needs a directory in memory");
  }
  return {};
}

Result<void> StreamImpl::open_files() {
  const std::string& directory = options_.directory;
  SPILLWAY_CHECKED(env_.make_directories(path_of(kCursorsName)));
  const std::string lock_path = path_of(kLockName);
  SPILLWAY_TRY(lock, env_.open(lock_path, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, lock->try_lock());
  if (!locked) {
    return fail(ErrorCode::kBusy, what() + "another agent holds " + lock_path +
                                      ": stop it, or give this one another spill_dir");
  }
  lock_ = std::move(lock);
  SPILLWAY_TRY(gaps, GapTable::open(env_, path_of(kGapsName)));
  gaps_ = std::move(gaps);
  SPILLWAY_CHECKED(open_memory());
  SPILLWAY_TRY(control, ControlPage::open(env_, path_of(kControlName)));
  control_ = std::move(control);
  SPILLWAY_TRY(page, JournalFile::open(env_, options_.journal_page_path));
  page_ = std::move(page);
  SPILLWAY_CHECKED(env_.sync_directory(directory));
  return env_.sync_directory(folder_of(directory));
}

/// A spare left by the writer before is as good as a new one, if it is whole.
Result<void> StreamImpl::settle_spare() {
  for (const char* name : {kRollName, kRepairName, kMoveName}) {
    SPILLWAY_TRY(rest, env_.exists(path_of(name)));
    if (rest) SPILLWAY_CHECKED(env_.remove(path_of(name)));
  }
  const std::string path = path_of(kSpareName);
  SPILLWAY_TRY(there, env_.exists(path));
  if (!there) return {};
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kReadWrite));
  SPILLWAY_TRY(bytes, file->size());
  if (bytes != options_.segment_bytes) return env_.remove(path);
  // The one before may have been killed between allocation and sync.
  SPILLWAY_CHECKED(file->sync_data());
  spare_ = Spare::kReady;
  return {};
}

Result<void> StreamImpl::start() {
  SPILLWAY_CHECKED(check_options());
  SPILLWAY_CHECKED(refuse_newer_segments(env_, options_));
  SPILLWAY_CHECKED(open_files());
  SPILLWAY_CHECKED(settle_spare());
  SPILLWAY_CHECKED(remove_moved_copies());
  SPILLWAY_TRY(found, find_stream(env_, options_.directory, *page_, *gaps_));
  // Whatever is kept in memory, what was known to be on the disk is noted there.
  const JournalDecision decision = decide_journal(found, *page_, *control_);
  SPILLWAY_CHECKED(place_control());
  segments_ = found.segments;
  lanes_ = found.lanes;
  schemas_ = found.schemas;
  next_sequence_ = found.next_sequence;
  recovery_.blocks_scanned = found.blocks_scanned;
  recovery_.reason = decision.reason;
  recovery_.set_aside = found.damage;
  start_codec(found);
  start_age(found);
  if (lanes_head_bytes() > head_bytes_max()) {
    return fail(ErrorCode::kInvalidArgument,
                what() + std::to_string(lanes_.all().size()) +
                    " lanes are known, more than a segment's head declares: raise segment_bytes");
  }
  schemas_.keep_named(lanes_);
  make_head_room(0);
  if (found.anchor) anchor_offset_ = found.anchor->base_offset();
  SPILLWAY_CHECKED(decision.goes_on ? go_on(found, decision) : begin_new_journal(found, decision));
  note_reserve();
  publish_all();
  SPILLWAY_CHECKED(settle_placement(decision.goes_on));
  if (decision.goes_on && found.last_clock) renew_clock(*found.last_clock);
  return {};
}

/// The clock may have been set since the writer before told of it. Without the news times stay
/// uncertain and no record is lost: it is no reason not to start.
void StreamImpl::renew_clock(const format::ClockReading& told) {
  const auto moved = static_cast<std::int64_t>((env_.utc_ns() - env_.boottime_ns()) -
                                               (told.utc_ns() - told.boottime_ns()));
  const bool stepped = static_cast<std::uint64_t>(moved < 0 ? -moved : moved) > kClockStepNs;
  const bool became_certain = told.certain() == 0 && env_.utc_is_certain();
  if (stepped || became_certain) static_cast<void>(append_clock());
}

void StreamImpl::start_age(const FoundStream& found) {
  if (segments_.empty()) {
    age_.begin(env_.boottime_ns());
  } else {
    age_.resume(segments_.back().header, found.last_boottime_ns, env_.boot_id());
  }
}

/// The writer before was killed or has closed, within this boot: its pages are still there.
Result<void> StreamImpl::go_on(const FoundStream& found, const JournalDecision& decision) {
  const SegmentInfo info = segments_.back();
  journal_ = {info.journal(), info.header.journal_sequence(), info.header.journal_first_offset()};
  next_offset_ = found.next_offset;
  SPILLWAY_TRY(segment, SegmentWriter::open(env_, info, round_up(found.tail, kPageBytes)));
  active_ = segment;
  unsynced_.push_back({active_, active_->tail(), next_offset_, true});
  // A head that is owed must fit, too: starts without a record in between each write one.
  const std::uint64_t room = head_bytes() + kPageBytes;
  if (found.sealed || active_->tail() + room > info.bytes) active_->mark_sealed();
  // Killed between the segment's name and its head: the head is still owed, or no data block in it would count.
  if (!active_->sealed() && next_offset_ == info.base_offset) {
    SPILLWAY_CHECKED(write_head(*active_, next_offset_));
  }
  const auto synced = sync_last_segments();
  if (synced && !decision.rewrite_unsynced) {
    if (first_in_memory() == nullptr) active_->note_earlier_segments_safe();
    return {};
  }
  page_->set_suspect(true);
  SPILLWAY_CHECKED(gather_unsynced(decision.durable_offset));
  return rewrite_unsynced();
}

/// The writer before may have been killed when the last two segments were not synced yet.
Result<void> StreamImpl::sync_last_segments() {
  for (std::size_t i = segments_.size() - std::min<std::size_t>(segments_.size(), 2);
       i < segments_.size(); ++i) {
    if (segments_[i].in_memory) continue;
    SPILLWAY_TRY(file, env_.open(segments_[i].path, env::OpenMode::kReadWrite));
    SPILLWAY_CHECKED(file->sync_data());
  }
  return {};
}

/// A sync has failed, perhaps in the writer before: everything from `durable` on is in memory at
/// best.
Result<void> StreamImpl::gather_unsynced(std::uint64_t durable) {
  std::size_t index = segments_.size() - 1;
  while (index > 0 && segments_[index].base_offset > durable) --index;
  unsynced_.clear();
  for (; index < segments_.size(); ++index) {
    SegmentInfo& info = segments_[index];
    SPILLWAY_CHECKED(inspect_segment(env_, info));
    if (!info.readable) continue;
    SPILLWAY_TRY(segment, SegmentWriter::open(env_, info, kSegmentHeaderBytes));
    FileWindow source(segment->file());
    SegmentScan scan(info.header);
    scan.set_limit(end_limit(segments_, index));
    std::uint64_t position = 0;
    while (true) {
      if (position == 0 && scan.next_offset() >= durable) position = scan.position();
      SPILLWAY_TRY(block, scan.next(source));
      if (!block) break;
      if (block->kind() == format::BlockKind::dictionary) learn_dictionary(block->stored);
    }
    segment->set_tail(scan.position());
    unsynced_.push_back({segment, position == 0 ? scan.position() : position,
                         std::max(durable, info.base_offset), true});
  }
  return {};
}

Result<void> StreamImpl::begin_new_journal(const FoundStream& found,
                                           const JournalDecision& decision) {
  recovery_.new_journal = true;
  // They are whole, though of another journal: the new one begins when they are safe.
  SPILLWAY_CHECKED(move_all());
  next_offset_ = decision.next_offset;
  // An offset that was once written down as dropped is never given to a record.
  for (const Gap& gap : gaps_->all()) next_offset_ = std::max(next_offset_, gap.next_offset);
  if (!segments_.empty()) journal_.sequence = segments_.back().header.journal_sequence() + 1;
  if (found.anchor) {
    journal_.sequence = std::max(journal_.sequence, found.anchor->journal_sequence() + 1);
  }
  // Nor is a number of a journal that an uplink has seen, though all else may be gone.
  for (const std::string& uplink : options_.uplinks) {
    SPILLWAY_TRY(seen, Cursor::load(env_, join(path_of(kCursorsName), uplink)));
    if (!seen || seen->journal_sequence >= kSegmentNumberEnd) continue;  // nobody counts that far
    journal_.sequence = std::max(journal_.sequence, seen->journal_sequence + 1);
  }
  journal_.id = Uuid::from_random(env_.random_u64(), env_.random_u64());
  journal_.first_offset = next_offset_;
  const bool drops_blank = found.last_is_blank && found.next_offset == next_offset_;
  // A backlog on the disk is to be delivered first, and it is not known whether there is a link.
  to_disk_ = !memory_first() || segments_.size() > (drops_blank ? 1U : 0U);
  if (!to_disk_) SPILLWAY_CHECKED(anchor_at(next_offset_));
  if (drops_blank) {
    // Or each boot without a record would take a segment's room, and drop the oldest for it in the end.
    SPILLWAY_CHECKED(env_.remove(segments_.back().path));
    SPILLWAY_CHECKED(env_.sync_directory(options_.directory));
    segments_.pop_back();
    SPILLWAY_CHECKED(sync_last_segments());
  } else if (!segments_.empty() || found.anchor) {
    SPILLWAY_CHECKED(sync_last_segments());
    if (found.next_offset < next_offset_) {
      SPILLWAY_CHECKED(gaps_->record(
          {found.next_offset, next_offset_, format::GapReason::damage, env_.utc_ns()}));
    }
  }
  SPILLWAY_TRY(path, to_disk_ ? prepare_file(options_.segment_bytes, false, Use::kBeginning)
                              : prepare_next(Use::kBeginning));
  SPILLWAY_CHECKED(begin_journal_segment(path, decision.why));
  return page_->found() ? renew_control() : Result<void>{};
}

/// Readers of this boot may be behind segments that are gone, and those that come now take their
/// numbers: by another control page they notice.
Result<void> StreamImpl::renew_control() {
  SPILLWAY_CHECKED(env_.remove(path_of(kControlName)));
  SPILLWAY_TRY(control, ControlPage::open(env_, path_of(kControlName)));
  (disk_control_ ? disk_control_ : control_) = std::move(control);
  return {};
}

void StreamImpl::publish_all() {
  page_->begin(env_, journal_.id, next_offset_, durable_offset());
  control_->begin(env_, {oldest_offset(), next_offset_, durable_offset(), segments_.back().sequence,
                         journal_.id});
  if (disk_control_) {
    disk_control_->begin(env_, {oldest_offset(), next_offset_, durable_offset(),
                                segments_.back().sequence, journal_.id, false});
  }
}

/// By what it says, not by which file it is: another file system may have been laid over it.
Result<void> StreamImpl::check_ground() const {
  const auto gone = [this](const std::string& path, const std::string& why) {
    return fail(ErrorCode::kNotFound,
                what() + "its files are no longer those that it writes (" + path + " " + why + ")");
  };
  const SegmentInfo& info = active_->info();
  SPILLWAY_TRY(segment, env_.open(info.path, env::OpenMode::kRead));
  format::SegmentHeader header;
  SPILLWAY_TRY(got, segment->read(0, writable_bytes_of(header)));
  if (got < sizeof(header) || header.salt() != info.header.salt()) {
    return gone(info.path, "is another one");
  }
  if (control_->lost()) return gone(path_of(kControlName), "cannot be read");
  auto disk = check_control_on_disk();
  // A disk that answers nothing is asked for nothing while the records have their place in memory.
  const bool is_spared =
      place() != PlaceInForce::kDisk && !disk && disk.error().code == ErrorCode::kIo;
  if (!disk && !is_spared) return disk;
  if (page_->lost()) return gone(options_.journal_page_path, "was cut off");
  return {};
}

Result<void> StreamImpl::check_control_on_disk() const {
  const std::string path = path_of(kControlName);
  SPILLWAY_TRY(control, env_.open(path, env::OpenMode::kRead));
  SPILLWAY_TRY(bytes, control->size());
  if (bytes < kPageBytes) {
    return fail(ErrorCode::kNotFound,
                what() + "its files are no longer those that it writes (" + path + " was cut off)");
  }
  if (!disk_control_ || !disk_control_->lost()) return {};
  return fail(ErrorCode::kIo, what() + path + " cannot be read");
}

Result<void> StreamImpl::close() {
  if (!faults_.failure.empty()) return failed();
  SPILLWAY_CHECKED(settle_memory());
  // A sync still under way may be the one that is told of an error: its answer is waited for elsewhere.
  const auto plan = plan_sync();
  return plan ? finish_sync(*plan, plan->run()) : Result<void>{};
}

Result<std::unique_ptr<Stream>> Stream::open(env::Env& env, StreamOptions options) {
  auto stream = std::make_unique<StreamImpl>(env, std::move(options));
  SPILLWAY_CHECKED(stream->start());
  return std::unique_ptr<Stream>(std::move(stream));
}

}  // namespace spillway::core
