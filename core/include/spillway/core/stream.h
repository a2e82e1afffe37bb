// Stream: the writing half of a spill. The agent owns one for each configured stream.
//
//            open                 append                          roll
//   Closed --------> Appending ----------> Appending --(no room)--------> Appending (next segment)
//                        |  ^                                  seal, rename the spare, head blocks
//              sync fails |  | collect(): written again into a new segment
//                        v  |
//                      Failed (nothing is called power-safe)
//
// Threads: all calls from the agent's drain thread, except SyncPlan::run, SpareOrder::run,
// MoveOrder::run and TrainingOrder::run, which a worker may run while the drain thread appends. Appending takes no lock
// and makes no system call but at a roll, and none that waits for the disk.
//
// Invariants:
//  1. Offsets run from 0 for ever, without holes but for those written down in the gap table.
//  2. A roll waits for no disk: the segment before, the new one's header and its name become
//     power-safe with the next group commit. A segment's first block is written only after the one
//     before is sealed and the one before that is power-safe. So only the last two segments can be
//     torn, and after a power cut the last one counts only if the one before it is whole.
//  3. Bytes that a sync covered are never written again: after a sync the append goes on at the
//     next 4 KiB.
//  4. A journal goes on only if the boot-lived journal page names it and the recovered next offset
//     is not below the page's; otherwise a new journal begins, in a new segment. (docs/format.md,
//     'journals')
//  5. When the journal goes on (the writer before was killed or has closed, within this boot), so does its last segment, at
//     the next 4 KiB. After anything else nothing is appended to the recovered segment.
//  6. Every segment begins with a clock block, one lane block for each live lane and the schemas that
//     these name, so that it reads alone and a restart knows each lane's position from the last
//     segment that holds a data block.
//  7. A gap is synced in the gap table before what it names is removed.
//  8. The dictionary of a compressed block stands before it in the same segment.
//  9. A record in memory is process-safe and no more. Segments move to the disk oldest first, each
//     synced under its name before its copy in memory goes, so that what the disk holds has no hole;
//     one that was begun on the disk behind others in memory is not synced, and not called
//     power-safe, before they are there. (core/spill/stream_placement.cc)
// 10. A record is dropped for its age only when it is known to be older than max_age by BOOTTIME,
//     summed over the boots (StreamAge); the wall clock has no say.
// 11. A reject-new stream keeps one segment's room in reserve, which no record takes: a new journal
//     can always begin, and drain what is held.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"
#include "spillway/core/gap_table.h"
#include "spillway/core/result.h"
#include "spillway/core/uuid.h"

namespace spillway::core {

enum class WhenFull : std::uint8_t { kDropOldest, kRejectNew };

/// When blocks are compressed as they are appended.
enum class Compress : std::uint8_t {
  kNever,
  kBacklog,  // while more than kBacklogSegments segments are held, the one being written among them
  kAlways,
};
inline constexpr std::size_t kBacklogSegments = 2;
/// As the configuration says it.
[[nodiscard]] std::string_view name_of(Compress compress);

/// Where new segments stand.
enum class Placement : std::uint8_t {
  kDisk,
  kMemoryFirst,  // in memory while the uplinks keep up
};
/// As the configuration says it.
[[nodiscard]] std::string_view name_of(Placement placement);

/// Where a stream's records are at the moment.
enum class PlaceInForce : std::uint8_t {
  kDisk,
  kMemory,
  kMoving,  // from memory to the disk; new records go there already, where there is room
};
/// As `status` says it.
[[nodiscard]] std::string_view name_of(PlaceInForce place);

/// The smallest segment that the configuration allows: beside the head of a segment it takes a record
/// of kRecordBytesUsual.
inline constexpr std::uint64_t kSegmentBytesUsable = 96ULL << 10;
/// What lanes take unless their producer asks for more.
inline constexpr std::uint64_t kRecordBytesUsual = 64ULL << 10;

struct StreamOptions {
  std::string name;
  std::string directory;          // <spill_dir>/<name>
  std::string journal_page_path;  // <queue_dir>/journal/<name>: must not survive a boot
  Uuid gateway;
  std::uint64_t segment_bytes = 8ULL
                                << 20;  // multiple of 4096, at least 64 KiB, at most max_bytes / 4
  std::uint64_t max_bytes = 256ULL << 20;  // all segments, the spare included; at least 1 MiB
  WhenFull when_full = WhenFull::kDropOldest;
  std::uint64_t max_age_ns = 0;  // records older than this are dropped, by BOOTTIME; 0: none is
  Compress compress = Compress::kNever;
  std::vector<std::string> uplinks;  // those whose cursors hold segments
  Placement placement = Placement::kDisk;
  std::string memory_directory;              // <queue_dir>/spill/<name>, in tmpfs; for kMemoryFirst
  std::uint64_t memory_bytes = 16ULL << 20;  // segments in memory, at most; at least two of them
  std::uint64_t memory_age_ns = 3'600'000'000'000;  // no record waits there longer for its delivery
};

/// A run of whole frames from one lane, as the drain found it. The bytes may change while they are
/// read.
struct FrameRun {
  std::uint64_t lane_id = 0;
  std::uint64_t lane_end = 0;  // the lane's position behind the run
  std::span<const std::byte> frames;
  std::uint64_t anchor_ticks = 0;
  std::uint64_t anchor_boottime_ns = 0;
  /// The lane fills faster than it is drained: stored as it is, for that is quickest.
  bool pressed = false;
};

struct Appended {
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;
};

/// Where a lane stands in the spill.
struct LanePosition {
  format::LaneIdentity identity;
  std::uint64_t lane_end = 0;
  std::uint64_t rejected = 0;
  bool closed = false;
};

/// One group commit, to be run by any thread: what it makes power-safe once it has returned.
struct SyncPlan {
  env::Env* env = nullptr;
  std::vector<std::shared_ptr<env::File>> files;  // the segments with unsynced bytes, at most two
  std::string directory;          // to be synced, too: a segment's name is new; else empty
  std::uint64_t next_offset = 0;  // everything below becomes power-safe
  std::uint64_t generation = 0;
  [[nodiscard]] Result<void> run() const;
};

/// The order to get the next segment's file ready ahead of need; run by any thread.
struct SpareOrder {
  enum class Work : std::uint8_t {
    kMake,  // a blank file, its disk space reserved
    kWarm,  // a recycled one is there already: its pages are read in, so that no append waits for them
  };
  env::Env* env = nullptr;
  Work work = Work::kMake;
  std::string path;
  std::uint64_t bytes = 0;
  [[nodiscard]] Result<void> run() const;
};

/// The order to put a copy of a segment in memory on the disk; run by any thread. When it has returned
/// the copy is power-safe under its own name.
struct MoveOrder {
  env::Env* env = nullptr;
  std::string from;
  std::string directory;  // on the disk
  std::string name;
  std::vector<std::byte> anchor;  // to be stored there first; empty: none
  std::uint64_t sequence = 0;
  [[nodiscard]] Result<void> run() const;
};

/// The order to train a dictionary from what the stream holds; run by any thread.
struct Training;
struct TrainingOrder {
  std::shared_ptr<Training> training;
  [[nodiscard]] Result<void> run() const;
};

/// What data blocks take since the start: their frames, and what is stored of them.
struct CompressionTotals {
  std::uint64_t raw_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t compressed_blocks = 0;
  std::uint64_t dictionaries = 0;  // trained
};

/// Why a journal began.
enum class JournalReason : std::uint8_t {
  kNewStream,     // nothing was there
  kOtherBoot,     // the power was lost, or the spill came from elsewhere
  kOtherJournal,  // what is there is not what was written last in this boot: restored, swapped
  kWiped,         // nothing is there any more of what was written in this boot
  kRecordsGone,   // records that were there in this boot can no longer be read
  kIoError,       // records were lost to a failed sync
};
inline constexpr std::size_t kJournalReasons = 6;
/// As `status` names it.
[[nodiscard]] std::string_view name_of(JournalReason reason);

/// What the disk does to the stream now, and how often it has since it was opened.
struct StreamFaults {
  std::string failure;     // why nothing new is called power-safe; empty while all is well
  bool read_only = false;  // the failure is a file system that takes no writes
  bool disk_full = false;  // the disk has no room for the next segment, whatever the quota says
  std::uint64_t sync_failures = 0;
  std::uint64_t rewrites = 0;  // failed syncs that were made good
  std::uint64_t disk_full_events = 0;
  std::array<std::uint64_t, kJournalReasons> journals{};  // begun, by reason
};

/// What recovery found, for the log and `status`.
struct Recovery {
  bool new_journal = false;
  std::string reason;  // why a new journal or segment began; empty if the stream just went on
  std::uint64_t blocks_scanned = 0;
  std::string set_aside;  // a segment that was renamed to *.damaged, and why; mostly empty
};

class Stream {
 public:
  /// Opens or makes the stream and recovers it. Locks the directory (kBusy names the other agent's
  /// lock file). kNewerVersion if any segment is of a newer format: nothing is touched then.
  [[nodiscard]] static Result<std::unique_ptr<Stream>> open(env::Env& env, StreamOptions options);
  virtual ~Stream() = default;

  /// Declares a lane, or declares it again with new totals. Its data may follow.
  [[nodiscard]] virtual Result<void> declare_lane(const format::LaneIdentity& identity,
                                                  std::uint64_t lane_end, std::uint64_t rejected,
                                                  bool closed) = 0;
  /// Forgets a closed lane: it is not repeated in later segments.
  virtual void forget_lane(std::uint64_t lane_id) = 0;
  /// The lanes known from the spill, with their positions: after open, where each goes on.
  [[nodiscard]] virtual const std::vector<LanePosition>& lanes() const = 0;

  /// Puts a schema (its bytes have passed check_schema) into the active segment, and into the head of
  /// each later one for as long as a known lane names it. It is there already: nothing to do.
  /// kInvalidArgument: no room for it beside the lanes, which goes on without it. kFull, kIo: as for
  /// `append`.
  [[nodiscard]] virtual Result<void> add_schema(std::uint64_t fingerprint,
                                                std::span<const std::byte> bfbs) = 0;
  /// Found in the spill by recovery, or added since.
  [[nodiscard]] virtual bool has_schema(std::uint64_t fingerprint) const = 0;
  /// How many had to make room for lanes: new segments do not repeat them.
  [[nodiscard]] virtual std::uint64_t schemas_left_out() const = 0;

  /// Copies the run into the spill, checks the copy, and publishes it: process-safe when this
  /// returns. kCorrupt: the run is not a run of frames (nothing was published; the lane is
  /// hostile). kFull: quota with reject-new, or disk full. kBusy: two whole segments wait for a
  /// sync that is under way; try again when it has finished. kIo: it has failed until collect()
  /// succeeds.
  [[nodiscard]] virtual Result<Appended> append(const FrameRun& run) = 0;
  /// Writes a clock block (after each step of the wall clock).
  [[nodiscard]] virtual Result<void> append_clock() = 0;
  /// The longest run `append` takes, in bytes.
  [[nodiscard]] virtual std::uint64_t run_bytes_max() const = 0;

  /// Nothing if everything is power-safe already or a plan is under way.
  [[nodiscard]] virtual std::optional<SyncPlan> plan_sync() = 0;
  /// A whole segment waits for its sync: plan one now, whatever the interval, or the roll after the
  /// next must wait for the disk.
  [[nodiscard]] virtual bool sync_is_urgent() const = 0;
  /// A failed sync: the stream writes the unsynced blocks again into a new segment before anything
  /// is called power-safe.
  [[nodiscard]] virtual Result<void> finish_sync(const SyncPlan& plan,
                                                 const Result<void>& outcome) = 0;

  /// An order if the next segment's file is wanted and none is out.
  [[nodiscard]] virtual std::optional<SpareOrder> order_spare() = 0;
  virtual void finish_spare(const SpareOrder& order, const Result<void>& outcome) = 0;

  /// True while blocks are compressed (see Compress): longer runs are worth a wait.
  [[nodiscard]] virtual bool compresses() const = 0;
  /// An order if a dictionary is due and not being trained.
  [[nodiscard]] virtual std::optional<TrainingOrder> order_training() = 0;
  virtual void finish_training(const TrainingOrder& order, const Result<void>& outcome) = 0;
  [[nodiscard]] virtual const CompressionTotals& compression() const = 0;

  /// Somebody waits until what was appended is power-safe: what stands in memory goes to the disk.
  /// After an error it is tried again, at the earliest a second later.
  [[nodiscard]] virtual Result<void> ask_power_safe() = 0;
  /// Records in memory wait for their move, and no sync makes anything power-safe before that.
  [[nodiscard]] virtual bool waits_for_move() const = 0;
  /// An order if a segment is to move to the disk and none is out.
  [[nodiscard]] virtual std::optional<MoveOrder> order_move() = 0;
  [[nodiscard]] virtual Result<void> finish_move(const MoveOrder& order,
                                                 const Result<void>& outcome) = 0;
  [[nodiscard]] virtual PlaceInForce place() const = 0;
  /// Of `held_bytes`, those in memory.
  [[nodiscard]] virtual std::uint64_t memory_bytes() const = 0;

  /// Frees segments that every configured uplink has acknowledged (its cursor is synced first), drops
  /// those that are older than max_age, and sees where the next ones belong. Cheap; call once a second.
  /// May begin a segment: see sync_is_urgent.
  [[nodiscard]] virtual Result<void> collect() = 0;

  [[nodiscard]] virtual std::uint64_t oldest_offset() const = 0;
  [[nodiscard]] virtual std::uint64_t next_offset() const = 0;     // process-safe below
  [[nodiscard]] virtual std::uint64_t durable_offset() const = 0;  // power-safe below
  [[nodiscard]] virtual std::uint64_t held_bytes() const = 0;
  /// How long ago the record of this offset was appended, by BOOTTIME: too much by at most the
  /// sync interval, or a hundredth of what is held; too little by what passed while the machine was
  /// off. 0 for one that is still to come.
  [[nodiscard]] virtual std::uint64_t age_ns(std::uint64_t offset) = 0;
  /// Up to here the uplink's far end has what is held, and what was dropped no longer counts.
  [[nodiscard]] virtual Result<std::uint64_t> delivered_offset(const std::string& uplink) = 0;
  [[nodiscard]] virtual const Uuid& journal() const = 0;
  [[nodiscard]] virtual const Recovery& recovery() const = 0;
  [[nodiscard]] virtual const GapTable& gaps() const = 0;
  [[nodiscard]] virtual const StreamOptions& options() const = 0;
  [[nodiscard]] virtual const StreamFaults& faults() const = 0;
  /// The spill under this stream is no longer what it writes into: its newest segment or its control
  /// page is gone, replaced, or no longer readable. Close it, then open it anew. A few system calls.
  [[nodiscard]] virtual Result<void> check_ground() const = 0;

  /// Clean end: syncs everything, moves what is in memory to the disk, leaves the journal page as it
  /// is.
  [[nodiscard]] virtual Result<void> close() = 0;
};

}  // namespace spillway::core
