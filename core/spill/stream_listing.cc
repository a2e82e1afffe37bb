#include "core/spill/stream_listing.h"

#include <algorithm>
#include <cstring>

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

}  // namespace

std::optional<format::StreamControl> ControlView::load() {
  if (!map_) {
    auto file = env_.open(join(directory_, kControlName), env::OpenMode::kRead);
    if (!file) return std::nullopt;
    auto size = (*file)->size();
    if (!size || *size < kPageBytes) return std::nullopt;
    auto map = (*file)->map(kPageBytes, env::MapAccess::kRead);
    if (!map) return std::nullopt;
    map_ = std::move(*map);
  }
  // SYNC published: pairs with ControlPage::set_next.
  const std::uint64_t next_offset = map_->load_acquire(kNextAt);
  format::StreamControl page;
  std::memcpy(&page, map_->data(), sizeof(page));
  page.mutate_next_offset(next_offset);
  const bool of_this_boot = page.magic() == kControlMagic && page.version() == kFormatVersion &&
                            uuid_of(*page.boot_id()) == env_.boot_id();
  if (!of_this_boot) return std::nullopt;
  return page;
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
