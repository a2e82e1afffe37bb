#include "spillway/core/repair.h"

#include <algorithm>
#include <limits>

#include "core/spill/control_page.h"
#include "core/spill/paths.h"
#include "core/spill/salvage.h"
#include "core/spill/segment_writer.h"
#include "core/spill/stream_listing.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
constexpr int kRoundsMax = 3;
constexpr std::size_t kCopyBytes = 256 * 1024;

class Repair {
 public:
  Repair(env::Env& env, std::string directory, const RepairOptions& options)
      : env_(env), directory_(std::move(directory)), options_(options) {}

  Result<RepairReport> run();

 private:
  Result<void> take_locks();
  Result<void> take_lock(const std::string& path, const std::string& holder);
  Result<void> repair_segment(const std::string& path);
  Result<void> rewrite(std::vector<SegmentInfo>& segments, std::size_t index,
                       RepairedSegment& repaired);
  Result<void> give_up(const std::vector<SegmentInfo>& segments, std::size_t index,
                       RepairedSegment& repaired);
  Result<void> write_new(const SegmentInfo& info, const SalvagePlan& plan);
  Result<void> keep_damaged(const SegmentInfo& info, RepairedSegment& repaired);
  Result<void> record(const std::vector<Gap>& lost);
  Result<std::uint64_t> known_next(const SegmentInfo& newest);
  [[nodiscard]] std::uint64_t records_before(const std::string& path) const;
  [[nodiscard]] std::string path_of(const std::string& name) const {
    return join(directory_, name);
  }

  env::Env& env_;
  std::string directory_;
  RepairOptions options_;
  std::vector<std::unique_ptr<env::File>> locks_;
  std::unique_ptr<GapTable> gaps_;
  RepairReport report_;
};

Result<RepairReport> Repair::run() {
  // Refuses a newer version and a directory that is no stream before anything is touched.
  SPILLWAY_TRY(before, verify_stream(env_, directory_));
  report_.before = std::move(before);
  SPILLWAY_CHECKED(take_locks());
  SPILLWAY_TRY(rest, env_.exists(path_of(kRepairName)));
  if (rest) SPILLWAY_CHECKED(env_.remove(path_of(kRepairName)));
  report_.after = report_.before;
  // What stood under a newest file that was set aside is the newest now, and looked at again.
  for (int round = 0; round < kRoundsMax && !report_.after.ok(); ++round) {
    for (const Damage& damage : report_.after.damages) {
      SPILLWAY_CHECKED(repair_segment(damage.path));
    }
    SPILLWAY_TRY(after, verify_stream(env_, directory_));
    report_.after = std::move(after);
  }
  return std::move(report_);
}

Result<void> Repair::take_locks() {
  SPILLWAY_CHECKED(take_lock(path_of(kLockName), "an agent"));
  SPILLWAY_TRY(segments, list_segments(env_, directory_));
  if (std::any_of(segments.begin(), segments.end(), is_foreign)) {
    return fail(
        ErrorCode::kInvalidArgument,
        "repairing " + directory_ +
            ": it is another gateway's stream at a relay, which needs no repair: what cannot be "
            "read is asked for again, or comes to the far end as a gap");
  }
  const auto in_memory = [](const SegmentInfo& info) { return info.in_memory; };
  if (std::any_of(segments.begin(), segments.end(), in_memory)) {
    return fail(ErrorCode::kBusy,
                "repairing " + directory_ +
                    ": a killed agent has left some of its records in memory: start the agent and "
                    "stop it again, which moves them here, then repair");
  }
  auto cursors = env_.list(path_of(kCursorsName));
  if (!cursors && cursors.error().code == ErrorCode::kNotFound) return {};
  if (!cursors) return tl::unexpected(std::move(cursors).error());
  for (const std::string& name : *cursors) {
    SPILLWAY_CHECKED(take_lock(join(path_of(kCursorsName), name), "an uplink"));
  }
  return {};
}

Result<void> Repair::take_lock(const std::string& path, const std::string& holder) {
  SPILLWAY_TRY(file, env_.open(path, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, file->try_lock());
  if (!locked) {
    return fail(ErrorCode::kBusy, "repairing " + directory_ + ": " + holder + " holds " + path +
                                      ": stop it first, and start it again when this is done");
  }
  locks_.push_back(std::move(file));
  return {};
}

Result<void> Repair::repair_segment(const std::string& path) {
  // Several damages of one segment are one repair.
  const auto is_this = [&path](const RepairedSegment& done) { return done.path == path; };
  const auto& done = report_.segments;
  if (std::any_of(done.begin(), done.end(), is_this)) return {};
  SPILLWAY_TRY(segments, list_segments(env_, directory_));
  const auto found = std::find_if(segments.begin(), segments.end(),
                                  [&path](const SegmentInfo& info) { return info.path == path; });
  if (found == segments.end()) return {};
  RepairedSegment repaired;
  repaired.path = path;
  const auto index = static_cast<std::size_t>(found - segments.begin());
  SPILLWAY_CHECKED(found->readable ? rewrite(segments, index, repaired)
                                   : give_up(segments, index, repaired));
  report_.segments.push_back(std::move(repaired));
  return {};
}

/// A header that cannot be healed has taken the salt with it: no block of this segment can be
/// proven.
Result<void> Repair::give_up(const std::vector<SegmentInfo>& segments, std::size_t index,
                             RepairedSegment& repaired) {
  const SegmentInfo& info = segments[index];
  const std::uint64_t limit = end_limit(segments, index);
  if (limit != kNoLimit) {
    // It stays: its name still says where the segment before it ends, and quotas free it in its turn.
    if (limit <= info.base_offset) return {};
    repaired.lost.push_back({info.base_offset, limit, format::GapReason::damage, env_.utc_ns()});
    return record(repaired.lost);
  }
  if (info.never_begun) {
    SPILLWAY_CHECKED(env_.remove(info.path));
    return env_.sync_directory(directory_);
  }
  // The newest: as the agent does at start. Its journal need not be right for the control page's
  // checksum to prove it.
  std::uint64_t end = info.base_offset;
  if (index > 0 && segments[index - 1].readable) {
    SPILLWAY_TRY(before, end_of_segment(env_, segments[index - 1]));
    end = std::min(end, before);
  }
  SPILLWAY_TRY(known, known_next(info));
  const std::uint64_t next = std::max(info.base_offset, known);
  // Alone, and nothing to write down: its name is all that keeps these offsets from a second use.
  if (index == 0 && next == end && end > 0) return {};
  if (end < next) {
    repaired.lost.push_back({end, next, format::GapReason::damage, env_.utc_ns()});
  }
  SPILLWAY_CHECKED(record(repaired.lost));
  if (options_.remove_damaged) {
    SPILLWAY_CHECKED(env_.remove(info.path));
  } else {
    repaired.kept_as = info.path + kDamagedSuffix;
    SPILLWAY_CHECKED(env_.rename(info.path, repaired.kept_as));
  }
  return env_.sync_directory(directory_);
}

Result<void> Repair::rewrite(std::vector<SegmentInfo>& segments, std::size_t index,
                             RepairedSegment& repaired) {
  const SegmentInfo& info = segments[index];
  const bool newest = end_limit(segments, index) == kNoLimit;
  std::uint64_t next = 0;
  if (newest) {
    SPILLWAY_TRY(known, known_next(info));
    next = known;
  }
  SPILLWAY_TRY(plan, plan_salvage(env_, segments, index, next));
  repaired.rewritten = true;
  repaired.records = plan.records;
  repaired.records_salvaged = plan.records - std::min(plan.records, records_before(info.path));
  repaired.blocks_healed = plan.blocks_healed;
  repaired.lost = plan.lost;
  SPILLWAY_CHECKED(write_new(info, plan));
  SPILLWAY_CHECKED(record(plan.lost));
  if (!options_.remove_damaged) SPILLWAY_CHECKED(keep_damaged(info, repaired));
  SPILLWAY_CHECKED(env_.rename(path_of(kRepairName), info.path));
  return env_.sync_directory(directory_);
}

/// Offsets below this are known to have been used: by what was power-safe, and in this boot by what
/// was published.
Result<std::uint64_t> Repair::known_next(const SegmentInfo& newest) {
  std::uint64_t next = 0;
  SPILLWAY_TRY(there, env_.exists(path_of(kControlName)));
  if (!there) return next;
  SPILLWAY_TRY(control, ControlPage::open(env_, path_of(kControlName)));
  next = control->durable_hint(newest.journal());
  ControlView view(env_, directory_);
  if (const auto page = view.load(); page && page->newest_segment() == newest.sequence) {
    next = std::max(next, page->next_offset());
  }
  return next;
}

Result<void> Repair::write_new(const SegmentInfo& info, const SalvagePlan& plan) {
  const std::string path = path_of(kRepairName);
  SPILLWAY_TRY(into, make_blank_segment(env_, path, info.bytes));
  SPILLWAY_TRY(from, env_.open(info.path, env::OpenMode::kRead));
  format::SegmentHeader header = info.header;
  header.mutate_recycled(0);  // the new file is blank behind its blocks
  seal_segment_header(header);
  SPILLWAY_CHECKED(into->write(0, bytes_of(header)));
  std::uint64_t at = kSegmentHeaderBytes;
  std::vector<std::byte> buffer;
  for (const SalvagedBlock& block : plan.blocks) {
    buffer = block.made;
    if (buffer.empty()) {
      buffer.resize(block.bytes);
      SPILLWAY_TRY(got, from->read(block.position, buffer));
      buffer.resize(got);
    }
    if (at + buffer.size() > info.bytes) {
      return fail(ErrorCode::kCorrupt, "repairing " + info.path + ": it does not fit its own size");
    }
    SPILLWAY_CHECKED(into->write(at, buffer));
    at += round_up(buffer.size(), kBlockAlignment);
  }
  return into->sync_data();
}

/// A copy, so that the segment's own name is never without a file.
Result<void> Repair::keep_damaged(const SegmentInfo& info, RepairedSegment& repaired) {
  repaired.kept_as = info.path + kDamagedSuffix;
  SPILLWAY_TRY(into, make_blank_segment(env_, repaired.kept_as, info.bytes));
  SPILLWAY_TRY(from, env_.open(info.path, env::OpenMode::kRead));
  std::vector<std::byte> buffer(kCopyBytes);
  for (std::uint64_t at = 0; at < info.bytes;) {
    SPILLWAY_TRY(got, from->read(at, buffer));
    if (got == 0) break;
    SPILLWAY_CHECKED(into->write(at, std::span(buffer).first(got)));
    at += got;
  }
  SPILLWAY_CHECKED(into->sync_data());
  return env_.sync_directory(directory_);
}

Result<void> Repair::record(const std::vector<Gap>& lost) {
  if (lost.empty()) return {};
  if (!gaps_) {
    SPILLWAY_TRY(gaps, GapTable::open(env_, path_of(kGapsName)));
    gaps_ = std::move(gaps);
  }
  for (const Gap& gap : lost) SPILLWAY_CHECKED(gaps_->record(gap));
  return {};
}

std::uint64_t Repair::records_before(const std::string& path) const {
  for (const SegmentReport& segment : report_.before.segments) {
    if (segment.path == path) return segment.records;
  }
  return 0;
}

}  // namespace

Result<RepairReport> repair_stream(env::Env& env, const std::string& directory,
                                   const RepairOptions& options) {
  return Repair(env, directory, options).run();
}

}  // namespace spillway::core
