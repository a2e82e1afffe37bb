// Memory first: where the next segment goes, and how what stands in memory comes to the disk.
//
//            memory_bytes or memory_age passed,                 all are moved
//            somebody waits for power-safe, the end
//   Memory ------------------------------------> Moving -----------------------> Disk
//     ^                                                                            |
//     +----------------------------------------------------------------------------+
//       all was acknowledged, and the link keeps up: the next segment is begun in memory
//
// The move begins with a segment on the disk, so that appends go on there; the sealed ones in memory
// are copied by a worker, oldest first, each synced under its name before its copy in memory goes. The
// new one is not synced until they all are there: after a power cut in between it stands behind a hole,
// and recovery drops it. So at most one segment on the disk stands behind others in memory; until they
// are moved there is no second one (kBusy, as where a disk lags).
#include <algorithm>
#include <tuple>

#include "core/spill/anchor.h"
#include "core/spill/memory_place.h"
#include "core/spill/paths.h"
#include "core/spill/stream_impl.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kRetryNs = 1'000'000'000;
/// Who asks for power-safe once will ask again: the stream stays on the disk for this long.
constexpr std::uint64_t kCalmNs = 60'000'000'000;
/// In memory while the disk fails, in multiples of memory_bytes.
constexpr std::uint64_t kMemoryFactorMax = 2;
constexpr std::size_t kCopyBytes = 256 * 1024;

/// Behind the seal; where there is none, all of it.
Result<std::uint64_t> bytes_to_copy(const std::shared_ptr<env::File>& file) {
  format::SegmentHeader header;
  SPILLWAY_CHECKED(file->read(0, writable_bytes_of(header)));
  FileWindow window(file);
  SegmentScan scan(header);
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) break;
  }
  return scan.sealed() ? scan.position() : file->size();
}

Result<void> copy_bytes(const env::File& from, env::File& to, std::uint64_t bytes) {
  std::vector<std::byte> chunk(kCopyBytes);
  for (std::uint64_t at = 0; at < bytes; at += chunk.size()) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), bytes - at));
    SPILLWAY_TRY(got, from.read(at, std::span(chunk).first(wanted)));
    if (got < wanted) return fail(ErrorCode::kIo, "a segment in memory became shorter");
    SPILLWAY_CHECKED(to.write(at, std::span<const std::byte>(chunk).first(wanted)));
  }
  return {};
}

Result<void> copy_segment(const MoveOrder& order, const std::string& draft) {
  SPILLWAY_TRY(opened, order.env->open(order.from, env::OpenMode::kRead));
  const std::shared_ptr<env::File> from = std::move(opened);
  SPILLWAY_TRY(size, from->size());
  SPILLWAY_TRY(bytes, bytes_to_copy(from));
  SPILLWAY_TRY(to, make_blank_segment(*order.env, draft, size));
  SPILLWAY_CHECKED(copy_bytes(*from, *to, bytes));
  return to->sync_data();
}

}  // namespace

std::string_view name_of(Placement placement) {
  return placement == Placement::kMemoryFirst ? "memory-first" : "disk";
}

std::string_view name_of(PlaceInForce place) {
  switch (place) {
    case PlaceInForce::kMemory:
      return "memory";
    case PlaceInForce::kMoving:
      return "moving";
    case PlaceInForce::kDisk:
      break;
  }
  return "disk";
}

Result<void> MoveOrder::run() const {
  if (!anchor.empty()) SPILLWAY_CHECKED(store_anchor(*env, directory, anchor));
  const std::string draft = join(directory, kMoveName);
  if (auto copied = copy_segment(*this, draft); !copied) {
    static_cast<void>(env->remove(draft));  // half a copy would hold the space that may be short
    return copied;
  }
  SPILLWAY_CHECKED(env->rename(draft, join(directory, name)));
  return env->sync_directory(directory);
}

// --- what is where ---

const SegmentInfo* StreamImpl::first_in_memory() const {
  if (memory_.empty()) return nullptr;
  const auto found = std::find_if(segments_.begin(), segments_.end(),
                                  [](const SegmentInfo& info) { return info.in_memory; });
  return found == segments_.end() ? nullptr : &*found;
}

/// Nothing that waits for a sync can become power-safe before something in memory has moved.
bool StreamImpl::memory_comes_first() const {
  const SegmentInfo* memory = first_in_memory();
  return memory != nullptr && memory->sequence <= unsynced_.front().segment->info().sequence;
}

bool StreamImpl::waits_for_move() const {
  return !memory_.empty() && memory_comes_first() && durable_offset() < next_offset_;
}

PlaceInForce StreamImpl::place() const {
  if (first_in_memory() == nullptr) return PlaceInForce::kDisk;
  return to_disk_ ? PlaceInForce::kMoving : PlaceInForce::kMemory;
}

std::uint64_t StreamImpl::memory_bytes() const {
  std::uint64_t bytes = 0;
  for (const SegmentInfo& info : segments_) bytes += info.in_memory ? info.bytes : 0;
  return bytes;
}

// --- start and end ---

Result<void> StreamImpl::open_memory() {
  memory_ = find_memory(env_, options_.directory);
  // The file that names it may be rotten: what a killed agent left there is not to be lost for it.
  const std::string& given = options_.memory_directory;
  if (memory_.empty() && !given.empty() &&
      (memory_first() || is_memory_of(env_, options_.directory, given))) {
    memory_ = given;
    SPILLWAY_CHECKED(begin_memory(env_, options_.directory, memory_));
  }
  if (memory_.empty()) return {};
  if (memory_first()) reserve_anchor(env_, options_.directory);
  for (const char* name : {kSpareName, kRollName}) {
    SPILLWAY_TRY(rest, env_.exists(path_of(name, true)));
    if (rest) SPILLWAY_CHECKED(env_.remove(path_of(name, true)));
  }
  return {};
}

/// The agent before was killed when a copy had its name on the disk and the segment was still in
/// memory. Left there, it would come back when the disk's copy is freed.
Result<void> StreamImpl::remove_moved_copies() {
  if (memory_.empty()) return {};
  SPILLWAY_TRY(names, env_.list(memory_));
  for (const std::string& name : names) {
    std::uint64_t sequence = 0;
    std::uint64_t base_offset = 0;
    if (!parse_segment_file_name(name, sequence, base_offset)) continue;
    SPILLWAY_TRY(there, env_.exists(path_of(name)));
    if (there) SPILLWAY_CHECKED(env_.remove(path_of(name, true)));
  }
  return {};
}

/// The page that is written at each append stands in memory; the one on the disk only says how far
/// the disk is.
Result<void> StreamImpl::place_control() {
  if (memory_.empty()) return {};
  SPILLWAY_TRY(page, ControlPage::open(env_, path_of(kControlName, true)));
  if (memory_first()) {
    disk_control_ = std::exchange(control_, std::move(page));
    return {};
  }
  ControlPage::State nobody_reads_it;
  nobody_reads_it.for_readers = false;
  page->begin(env_, nobody_reads_it);
  return {};
}

Result<void> StreamImpl::settle_placement(bool goes_on) {
  const SegmentInfo* memory = first_in_memory();
  // What a killed agent left there may be as old as its segment.
  std::uint64_t since = env_.boottime_ns();
  if (memory != nullptr) {
    SegmentInfo oldest = *memory;
    SPILLWAY_CHECKED(inspect_segment(env_, oldest));
    if (oldest.readable) since = oldest.header.created_boottime_ns();
  }
  backlog_.emplace(options_.memory_age_ns, next_offset_, since);
  if (goes_on) to_disk_ = !memory_first() || !is_active_in_memory();
  moving_ = to_disk_ && memory != nullptr;
  if (memory_.empty() || memory_first()) return {};
  if (memory == nullptr) return retire_memory();
  // The stream was "memory-first" before. If the disk does not take it now, collect() tries again.
  static_cast<void>(leave_memory());
  return {};
}

/// A stream that is no longer "memory-first" has nothing in memory any more.
Result<void> StreamImpl::retire_memory() {
  if (anchor_offset_) SPILLWAY_CHECKED(env_.remove(path_of(kAnchorName)));
  anchor_offset_.reset();
  SPILLWAY_TRY(reserved, env_.exists(path_of(kNextAnchorName)));
  if (reserved) SPILLWAY_CHECKED(env_.remove(path_of(kNextAnchorName)));
  return end_memory(env_, options_.directory, std::exchange(memory_, ""));
}

/// The clean end: everything goes to the disk.
Result<void> StreamImpl::settle_memory() {
  if (memory_.empty()) return {};
  if (durable_offset() < next_offset_) {
    leave_retry_at_ns_ = 0;
    SPILLWAY_CHECKED(leave_memory());
    return move_all();
  }
  // Nothing to move: the next boot goes on where this one ended, all the same.
  const SegmentInfo& oldest = segments_.front();
  const bool anchored = !oldest.in_memory || anchor_offset_ == oldest.base_offset;
  return anchored ? Result<void>{} : anchor_at(oldest.base_offset);
}

// --- where the next segment goes ---

/// The file of the next segment, in memory or on the disk.
Result<std::string> StreamImpl::prepare_next(Use use) {
  const std::uint64_t bytes = options_.segment_bytes;
  if (!to_disk_) {
    static_cast<void>(free_acknowledged());  // collect() tells of its errors
    if (memory_bytes() + bytes <= options_.memory_bytes) {
      auto path = prepare_file(bytes, true, use);
      if (path) return path;  // otherwise memory is full
    }
    to_disk_ = true;
    moving_ = true;
  }
  if (active_ && !is_active_in_memory() && first_in_memory() != nullptr) {
    return fail(ErrorCode::kBusy, what() + "a whole segment waits until those in memory are moved");
  }
  auto path = prepare_file(bytes, false, use);
  const bool stays =
      memory_first() && memory_bytes() + bytes <= kMemoryFactorMax * options_.memory_bytes;
  if (path || !stays || path.error().code == ErrorCode::kBusy) return path;
  // The disk takes nothing: what memory has room for is not lost.
  auto rather = prepare_file(bytes, true, use);
  return rather ? rather : path;
}

/// From memory to the disk, at once.
Result<void> StreamImpl::leave_memory() {
  to_disk_ = true;
  moving_ = true;
  const std::uint64_t now_ns = env_.boottime_ns();
  if (!is_active_in_memory() || now_ns < leave_retry_at_ns_) return {};
  SPILLWAY_CHECKED(sync_earlier_segments());
  if (!is_active_in_memory()) return {};  // a sync failed, and all was written again
  leave_retry_at_ns_ = now_ns + kRetryNs;
  // Into the reserve, if need be: what is in memory must not stay there for want of room.
  SPILLWAY_TRY(path, prepare_file(options_.segment_bytes, false, Use::kBeginning));
  SPILLWAY_CHECKED(roll_into(path));
  leave_retry_at_ns_ = 0;
  return {};
}

Result<void> StreamImpl::return_to_memory() {
  const std::uint64_t now_ns = env_.boottime_ns();
  if (now_ns < return_at_ns_) return {};
  return_at_ns_ = now_ns + kRetryNs;
  SPILLWAY_TRY(path, prepare_file(options_.segment_bytes, true));
  to_disk_ = false;
  auto rolled = roll_into(path);
  to_disk_ = !rolled;
  return rolled;
}

Result<void> StreamImpl::ask_power_safe() {
  if (memory_.empty() || durable_offset() == next_offset_) return {};
  return_at_ns_ = env_.boottime_ns() + kCalmNs;
  return leave_memory();
}

Result<std::optional<CursorPosition>> StreamImpl::newest_cursor(const std::string& uplink) {
  auto of_disk = cursor_at(join(path_of(kCursorsName), uplink));
  SPILLWAY_TRY(in_memory, cursor_at(join(path_of(kCursorsName, true), uplink)));
  // Where the disk answers nothing, the one in memory is at worst behind.
  if (!of_disk && (of_disk.error().code != ErrorCode::kIo || !in_memory)) return of_disk;
  const auto on_disk = of_disk.value_or(std::nullopt);
  if (!on_disk || !in_memory) return on_disk ? on_disk : in_memory;
  const auto key = [](const CursorPosition& at) {
    return std::tie(at.journal_sequence, at.next_offset);
  };
  return key(*in_memory) < key(*on_disk) ? on_disk : in_memory;
}

/// Everything below was acknowledged by all uplinks, in the journal that is in use.
Result<std::uint64_t> StreamImpl::acknowledged_offset() {
  std::uint64_t offset = options_.uplinks.empty() ? 0 : next_offset_;
  for (const std::string& uplink : options_.uplinks) {
    SPILLWAY_TRY(position, newest_cursor(uplink));
    const bool counts = position && position->journal == journal_.id;
    offset = std::min(offset, counts ? position->next_offset : 0);
  }
  return offset;
}

/// Once a second.
Result<void> StreamImpl::keep_placement() {
  if (memory_.empty()) return {};
  if (to_disk_ && is_active_in_memory()) return leave_memory();
  if (!memory_first()) return {};
  const std::uint64_t now_ns = env_.boottime_ns();
  SPILLWAY_TRY(acknowledged, acknowledged_offset());
  backlog_->note(acknowledged, next_offset_, now_ns);
  if (!to_disk_) {
    const bool waits = durable_offset() < next_offset_ && acknowledged < next_offset_;
    const bool too_old = backlog_->age_ns(now_ns) >= options_.memory_age_ns;
    return waits && too_old ? leave_memory() : Result<void>{};
  }
  // A busy stream always has a little under way; what of it stands on the disk is freed there.
  const bool little = segments_.size() == 1 || segment_bytes_held() <= options_.memory_bytes / 2;
  const bool settled = unsynced_.size() == 1 && faults_.failure.empty();
  return little && settled && backlog_->caught_up() ? return_to_memory() : Result<void>{};
}

// --- the moves ---

std::vector<std::byte> StreamImpl::anchor_bytes(std::uint64_t base_offset) {
  return make_anchor(make_header(base_offset, 0, false));
}

Result<void> StreamImpl::anchor_at(std::uint64_t base_offset) {
  SPILLWAY_CHECKED(store_anchor(env_, options_.directory, anchor_bytes(base_offset)));
  anchor_offset_ = base_offset;
  return {};
}

std::optional<MoveOrder> StreamImpl::order_move() {
  if (!moving_ || move_ || !faults_.failure.empty()) return std::nullopt;
  const SegmentInfo* info = first_in_memory();
  moving_ = info != nullptr;
  if (!moving_ || env_.boottime_ns() < move_retry_at_ns_) return std::nullopt;
  // The one that is being written moves when the next one has begun; and what stands before on the
  // disk is synced first.
  if (active_ && info->sequence == active_->info().sequence) return std::nullopt;
  if (!unsynced_.empty() && !memory_comes_first()) return std::nullopt;
  MoveOrder order{&env_,
                  info->path,
                  options_.directory,
                  segment_file_name(info->sequence, info->base_offset),
                  {},
                  info->sequence};
  if (info == &segments_.front() && anchor_offset_ != info->base_offset) {
    order.anchor = anchor_bytes(info->base_offset);
  }
  move_ = info->sequence;
  tried_ = move_;
  return order;
}

Result<void> StreamImpl::finish_move(const MoveOrder& order, const Result<void>& outcome) {
  move_.reset();
  const auto moved = std::find_if(segments_.begin(), segments_.end(), [&](const SegmentInfo& info) {
    return info.sequence == order.sequence;
  });
  if (!outcome) {
    move_retry_at_ns_ = env_.boottime_ns() + kRetryNs;
    if (outcome.error().code == ErrorCode::kFull) SPILLWAY_CHECKED(give_back(false));
    return fail(outcome.error().code, what() + "its records stay in memory, not power-safe, for " +
                                          "they cannot be moved to the disk: " +
                                          outcome.error().message + "; it is tried once a second");
  }
  if (!order.anchor.empty()) anchor_offset_ = moved->base_offset;
  static_cast<void>(env_.remove(moved->path));
  moved->path = join(order.directory, order.name);
  moved->in_memory = false;
  if (unsynced_.empty()) return {};  // the stream is only being opened
  const bool all = first_in_memory() == nullptr;
  if (all && unsynced_.size() == 1) active_->note_earlier_segments_safe();
  note_durable();
  return all && !memory_first() ? retire_memory() : Result<void>{};
}

Result<void> StreamImpl::move_all() {
  moving_ = true;
  move_retry_at_ns_ = 0;
  while (const auto order = order_move()) SPILLWAY_CHECKED(finish_move(*order, order->run()));
  return {};
}

/// After a rewrite: what stood in memory stands in the new segment, too.
void StreamImpl::forget_overridden_memory() {
  for (std::size_t index = segments_.size(); index-- > 0;) {
    const SegmentInfo& info = segments_[index];
    if (!info.in_memory || end_limit(segments_, index) > info.base_offset) continue;
    static_cast<void>(env_.remove(info.path));
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(index));
  }
  note_reserve();
}

}  // namespace spillway::core
