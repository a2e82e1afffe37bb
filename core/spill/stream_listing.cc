#include "core/spill/stream_listing.h"

#include <algorithm>
#include <cstring>

#include "core/spill/memory_place.h"
#include "core/spill/paths.h"
#include "core/spill/segment_scan.h"

namespace spillway::core {

namespace {

// Pinned by core/format/layout.cc.
constexpr std::size_t kNextAt = 40;

void add_unrecorded(std::vector<Gap>& pieces, std::uint64_t first, std::uint64_t next,
                    std::uint64_t oldest) {
  const std::uint64_t middle = std::clamp(oldest, first, next);
  if (first < middle) pieces.push_back({first, middle, format::GapReason::none, 0});
  if (middle < next) pieces.push_back({middle, next, format::GapReason::damage, 0});
}

std::unique_ptr<env::Mapping> map_control(env::Env& env, const std::string& directory) {
  auto file = env.open(join(directory, kControlName), env::OpenMode::kRead);
  if (!file) return nullptr;
  auto size = (*file)->size();
  if (!size || *size < kPageBytes) return nullptr;
  auto map = (*file)->map(kPageBytes, env::MapAccess::kRead);
  return map ? std::move(*map) : nullptr;
}

}  // namespace

std::optional<format::StreamControl> ControlView::load() {
  if (!map_) {
    const std::string memory = find_memory(env_, directory_);
    map_ = map_control(env_, memory.empty() ? directory_ : memory);
  }
  if (!map_) return std::nullopt;
  // SYNC published: pairs with ControlPage::set_next.
  const std::uint64_t next_offset = map_->load_acquire(kNextAt);
  format::StreamControl page;
  std::memcpy(&page, map_->data(), sizeof(page));
  page.mutate_next_offset(next_offset);
  const bool of_this_boot = page.magic() == kControlMagic && page.version() == kFormatVersion &&
                            uuid_of(*page.boot_id()) == env_.boot_id();
  if (of_this_boot) return page;
  map_.reset();  // the next agent may keep it elsewhere
  return std::nullopt;
}

Result<std::vector<Gap>> missing_between(env::Env& env, const std::string& directory,
                                         std::uint64_t first, std::uint64_t next,
                                         std::uint64_t oldest) {
  SPILLWAY_TRY(recorded, GapTable::load(env, join(directory, kGapsName)));
  std::vector<Gap> pieces;
  std::uint64_t at = first;
  for (const Gap& gap : recorded) {
    const std::uint64_t from = std::max(gap.first_offset, at);
    const std::uint64_t to = std::min(gap.next_offset, next);
    if (from >= to) continue;
    add_unrecorded(pieces, at, from, oldest);
    pieces.push_back({from, to, gap.reason, gap.recorded_utc_ns});
    at = to;
  }
  add_unrecorded(pieces, at, next, oldest);
  return pieces;
}

namespace {

/// The segments of which journals are asked for; a header is read when it is asked for.
class JournalSearch {
 public:
  JournalSearch(env::Env& env, std::vector<SegmentInfo>& segments)
      : env_(env), segments_(segments) {}

  /// The first readable segment in [from, until); `until` if there is none.
  Result<std::size_t> first_readable(std::size_t from, std::size_t until) {
    for (; from < until; ++from) {
      SPILLWAY_TRY(there, inspect_segment(env_, segments_[from]));
      if (there && segments_[from].readable) return from;
    }
    return until;
  }

  /// The first segment behind `index` that is not of its journal, where `other` is one.
  Result<std::size_t> first_of_another(std::size_t index, std::size_t other) {
    std::size_t same = index;
    std::size_t until = other;
    while (same + 1 < until) {
      const std::size_t middle = same + (until - same) / 2;
      SPILLWAY_TRY(probe, first_readable(middle, until));
      if (probe < until && segments_[probe].journal() == segments_[index].journal()) {
        same = probe;
        continue;
      }
      if (probe < until) other = probe;
      until = middle;  // up to the probe none is readable
    }
    return other;
  }

  /// Where the journal ends whose last segment stands before `index`, the first of the next one.
  Result<std::uint64_t> end_before(std::size_t index) {
    std::size_t last = index;
    while (last > 0 && !segments_[last - 1].readable) --last;
    // In a foreign stream the next one may begin below it.
    if (last == 0 || !is_foreign(segments_[last - 1])) return segments_[index].base_offset;
    return end_of_segment(env_, segments_[last - 1]);
  }

 private:
  env::Env& env_;
  std::vector<SegmentInfo>& segments_;
};

}  // namespace

Result<std::vector<JournalRange>> journals_of(env::Env& env, std::vector<SegmentInfo>& segments,
                                              std::optional<std::uint64_t> newest_end) {
  std::vector<JournalRange> ranges;
  std::size_t newest = segments.size();
  while (newest > 0 && !segments[newest - 1].readable) --newest;
  if (newest == 0) return ranges;
  --newest;
  JournalSearch search(env, segments);
  SPILLWAY_TRY(index, search.first_readable(0, newest));
  while (true) {
    const SegmentInfo& info = segments[index];
    ranges.push_back(
        {info.journal(), info.header.journal_sequence(), info.header.journal_first_offset(), 0});
    if (info.journal() == segments[newest].journal()) break;
    SPILLWAY_TRY(next, search.first_of_another(index, newest));
    index = next;
    SPILLWAY_TRY(end, search.end_before(index));
    ranges.back().next_offset = end;
  }
  SPILLWAY_TRY(
      end, newest_end ? Result<std::uint64_t>(*newest_end) : end_of_segment(env, segments[newest]));
  ranges.back().next_offset = std::min(end, end_limit(segments, newest));
  return ranges;
}

Result<std::uint64_t> end_of_segment(env::Env& env, const SegmentInfo& info) {
  SPILLWAY_TRY(file, env.open(info.path, env::OpenMode::kRead));
  FileWindow window(std::move(file));
  SegmentScan scan(info.header);
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) return scan.next_offset();
  }
}

}  // namespace spillway::core
