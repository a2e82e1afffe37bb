#include "spillway/core/stream_reader.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "core/spill/block_opener.h"
#include "core/spill/foreign_reader.h"
#include "core/spill/paths.h"
#include "core/spill/segment_scan.h"
#include "core/spill/stream_listing.h"

namespace spillway::core {

namespace {

/// A segment under the reader's hand.
struct OpenSegment {
  SegmentInfo info;
  FileWindow window;
  SegmentScan scan;
  bool last_look = false;  // a later segment is there: what is not valid now never will be

  OpenSegment(SegmentInfo of, std::unique_ptr<env::File> file)
      : info(std::move(of)), window(std::move(file)), scan(info.header) {}
};

class FileStreamReader final : public StreamReader {
 public:
  FileStreamReader(env::Env& env, std::string directory)
      : env_(env), directory_(std::move(directory)), control_(env, directory_) {}

  /// Once, first: at the oldest record.
  Result<void> begin() {
    SPILLWAY_CHECKED(list());
    SPILLWAY_TRY(oldest, oldest_of(segments_));
    position_ = oldest;
    return {};
  }

  [[nodiscard]] bool is_foreign_stream() const {
    return std::any_of(segments_.begin(), segments_.end(), is_foreign);
  }

  Result<void> seek(std::uint64_t offset) override {
    SPILLWAY_CHECKED(list());
    open_.reset();
    pending_.clear();
    behind_.reset();
    position_ = offset;
    return {};
  }

  void offer_stored(bool stored) override { opener_.offer_stored(stored); }
  Result<std::optional<StreamItem>> next() override;
  std::uint64_t position() const override { return position_; }
  Result<std::uint64_t> oldest_offset() override;
  Result<std::vector<JournalRange>> journals() override;
  std::optional<format::StreamControl> control() override { return control_.load(); }

 private:
  /// Where the reader came from: only later segments follow.
  struct Behind {
    std::uint64_t sequence = 0;
    std::uint64_t journal_sequence = 0;
  };

  static constexpr int kTriesMax = 16;  // each is a segment that went away while it was opened

  Result<void> list();
  Result<std::uint64_t> oldest_of(std::vector<SegmentInfo>& segments);
  Result<bool> enter();
  Result<bool> leave();
  [[nodiscard]] std::optional<std::size_t> choose_name() const;
  Result<std::optional<std::size_t>> choose();
  [[nodiscard]] bool directory_may_have_changed();
  Result<void> lay_ready(const ScannedBlock& gap);
  [[nodiscard]] bool skips(const ScannedBlock& block) const;
  StreamItem take(const ScannedBlock& block);

  env::Env& env_;
  std::string directory_;
  ControlView control_;
  std::vector<SegmentInfo> segments_;
  std::unique_ptr<OpenSegment> open_;
  std::optional<Behind> behind_;
  std::deque<Gap> pending_;
  std::uint64_t position_ = 0;
  BlockOpener opener_;
};

Result<void> FileStreamReader::list() {
  SPILLWAY_TRY(segments, list_segment_names(env_, directory_));
  segments_ = std::move(segments);
  return {};
}

/// The newest segment that begins at or below the position overrides all others there. One that was
/// not inspected may be readable.
std::optional<std::size_t> FileStreamReader::choose_name() const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const SegmentInfo& info = segments_[i];
    const bool unreadable = info.inspected && !info.readable;
    if (unreadable || (behind_ && info.sequence <= behind_->sequence)) continue;
    const bool holds = info.base_offset <= position_;
    const bool nearer = best && segments_[*best].base_offset > position_ &&
                        info.base_offset <= segments_[*best].base_offset;
    if (holds || nearer || !best) best = i;
  }
  return best;
}

Result<std::optional<std::size_t>> FileStreamReader::choose() {
  while (true) {
    const auto chosen = choose_name();
    if (!chosen || segments_[*chosen].readable) return chosen;
    SPILLWAY_TRY(there, inspect_segment(env_, segments_[*chosen]));
    if (!there) segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(*chosen));
  }
}

/// Opens the segment that follows, or lays ready the gap before it. False: there is none yet.
Result<bool> FileStreamReader::enter() {
  bool listed_anew = false;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    SPILLWAY_TRY(chosen, choose());
    if (!chosen) return false;
    const SegmentInfo& info = segments_[*chosen];
    // Under a new journal the offsets from its base on are other records, whatever was read before.
    const bool rolled_back = behind_ && info.header.journal_sequence() != behind_->journal_sequence;
    if (rolled_back) position_ = std::min(position_, info.base_offset);
    if (info.base_offset > position_) {
      // What is missing may have been freed since the listing: then it is not damage.
      if (!std::exchange(listed_anew, true)) {
        SPILLWAY_CHECKED(list());
        continue;
      }
      SPILLWAY_TRY(missing, missing_between(env_, directory_, position_, info.base_offset,
                                            segments_.front().base_offset));
      pending_.assign(missing.begin(), missing.end());
      return true;
    }
    auto file = env_.open(info.path, env::OpenMode::kRead);
    if (file) {
      open_ = std::make_unique<OpenSegment>(info, std::move(*file));
      opener_.begin_segment();
      open_->scan.set_limit(end_limit(segments_, *chosen));
      open_->last_look = *chosen + 1 < segments_.size();
      return true;
    }
    if (file.error().code != ErrorCode::kNotFound) return tl::unexpected(std::move(file).error());
    SPILLWAY_CHECKED(list());
  }
  return fail(ErrorCode::kIo, "reading " + directory_ +
                                  ": segments go away faster than they can be opened; try again");
}

bool FileStreamReader::directory_may_have_changed() {
  const auto control = control_.load();
  return !control || segments_.empty() || control->newest_segment() != segments_.back().sequence;
}

/// Called where the open segment has no further block. True: look on (in it again, or behind it).
/// False: not yet.
Result<bool> FileStreamReader::leave() {
  if (!open_->last_look) {
    if (!open_->scan.sealed() && !directory_may_have_changed()) return false;
    SPILLWAY_CHECKED(list());
    // The newest readable one is inspected: if any is later, it is.
    const auto is_later = [this](const SegmentInfo& info) {
      return info.readable && info.sequence > open_->info.sequence;
    };
    if (std::none_of(segments_.begin(), segments_.end(), is_later)) return false;
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
    for (const SegmentInfo& info : segments_) {
      if (info.sequence > open_->info.sequence) limit = std::min(limit, info.base_offset);
    }
    // Blocks may have come between the last look and the listing; what was read of the override's
    // range is the same.
    open_->scan.set_limit(limit);
    open_->window.refresh();
    open_->last_look = true;
    return true;
  }
  behind_ = Behind{open_->info.sequence, open_->info.header.journal_sequence()};
  open_.reset();
  return true;
}

/// What a repair could not read.
Result<void> FileStreamReader::lay_ready(const ScannedBlock& gap) {
  if (gap.next_offset() <= position_) return {};
  SPILLWAY_TRY(missing, missing_between(env_, directory_, position_, gap.next_offset(),
                                        segments_.front().base_offset));
  pending_.assign(missing.begin(), missing.end());
  return {};
}

bool FileStreamReader::skips(const ScannedBlock& block) const {
  if (block.kind() == format::BlockKind::seal) return true;
  if (block.kind() == format::BlockKind::dictionary) return !opener_.offers_stored();
  return block.kind() == format::BlockKind::data &&
         block.header.base_offset() + block.header.count() <= position_;
}

StreamItem FileStreamReader::take(const ScannedBlock& scanned) {
  Block block = block_of(scanned, open_->info);
  if (scanned.kind() != format::BlockKind::data) return block;
  const std::uint64_t first = std::max(position_, scanned.header.base_offset());
  const std::uint64_t next = scanned.header.base_offset() + scanned.header.count();
  if (first > scanned.header.base_offset()) block.skip_below = first;
  position_ = next;
  if (!opener_.open(scanned, block)) {
    return Gap{first, next, format::GapReason::damage, 0};
  }
  return block;
}

Result<std::optional<StreamItem>> FileStreamReader::next() {
  while (true) {
    if (!pending_.empty()) {
      const Gap gap = pending_.front();
      pending_.pop_front();
      position_ = gap.next_offset;
      return std::optional<StreamItem>(gap);
    }
    if (!open_) {
      SPILLWAY_TRY(chosen, choose());
      if (!chosen) SPILLWAY_CHECKED(list());
      SPILLWAY_TRY(entered, enter());
      if (!entered) return std::optional<StreamItem>{};
      continue;
    }
    SPILLWAY_TRY(block, open_->scan.next(open_->window));
    if (!block && !open_->scan.sealed()) {
      // The window may be older than the block.
      open_->window.refresh();
      SPILLWAY_TRY(fresh, open_->scan.next(open_->window));
      block = fresh;
    }
    if (block && block->kind() == format::BlockKind::gap) {
      SPILLWAY_CHECKED(lay_ready(*block));
      continue;
    }
    if (block) opener_.learn(*block);
    if (block && skips(*block)) continue;
    if (block) return std::optional(take(*block));
    SPILLWAY_TRY(look_on, leave());
    if (!look_on) return std::optional<StreamItem>{};
  }
}

Result<std::uint64_t> FileStreamReader::oldest_offset() {
  SPILLWAY_TRY(segments, list_segment_names(env_, directory_));
  return oldest_of(segments);
}

Result<std::uint64_t> FileStreamReader::oldest_of(std::vector<SegmentInfo>& segments) {
  for (SegmentInfo& info : segments) {
    SPILLWAY_TRY(there, inspect_segment(env_, info));
    if (there && info.readable) return info.base_offset;
  }
  return std::uint64_t{0};
}

Result<std::vector<JournalRange>> FileStreamReader::journals() {
  SPILLWAY_TRY(segments, list_segment_names(env_, directory_));
  return journals_of(env_, segments);
}

}  // namespace

Result<std::unique_ptr<StreamReader>> StreamReader::open(env::Env& env,
                                                         const std::string& directory) {
  auto reader = std::make_unique<FileStreamReader>(env, directory);
  auto begun = reader->begin();
  if (!begun && begun.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kNotFound, "opening the stream in " + directory +
                                          ": there is no such directory; is the name right, and "
                                          "has the agent run with it?");
  }
  if (!begun) return tl::unexpected(std::move(begun).error());
  if (reader->is_foreign_stream()) return open_foreign_reader(env, directory);
  return std::unique_ptr<StreamReader>(std::move(reader));
}

}  // namespace spillway::core
