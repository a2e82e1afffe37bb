#include "core/spill/foreign_reader.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "core/spill/block_opener.h"
#include "core/spill/stream_listing.h"

namespace spillway::core {

namespace {

struct OpenSegment {
  SegmentInfo info;
  FileWindow window;
  SegmentScan scan;
  bool last_look = false;  // a later segment is there: what is not valid now never will be

  OpenSegment(SegmentInfo of, std::unique_ptr<env::File> file)
      : info(std::move(of)), window(std::move(file)), scan(info.header) {}
};

class ForeignReader final : public StreamReader {
 public:
  ForeignReader(env::Env& env, std::string directory)
      : env_(env), directory_(std::move(directory)), control_(env, directory_) {}

  Result<void> begin() {
    SPILLWAY_TRY(oldest, oldest_offset());
    return seek(oldest);
  }

  Result<void> seek(std::uint64_t offset) override { return seek_from(0, offset); }
  Result<void> seek_in(std::uint64_t journal_sequence, std::uint64_t offset) override {
    return seek_from(journal_sequence, offset);
  }
  void offer_stored(bool stored) override { opener_.offer_stored(stored); }
  Result<std::optional<StreamItem>> next() override;
  std::uint64_t position() const override { return position_; }
  Result<std::uint64_t> oldest_offset() override;
  Result<std::vector<JournalRange>> journals() override;
  std::optional<format::StreamControl> control() override { return control_.load(); }

 private:
  Result<void> list();
  Result<void> seek_from(std::uint64_t journal_sequence, std::uint64_t offset);
  Result<bool> enter();
  Result<bool> open(SegmentInfo& info, bool is_oldest);
  Result<bool> leave();
  Result<std::optional<ScannedBlock>> scan();
  std::optional<StreamItem> take(const ScannedBlock& block);
  [[nodiscard]] bool may_have_later() const;

  env::Env& env_;
  std::string directory_;
  ControlView control_;
  std::vector<SegmentInfo> segments_;
  std::unique_ptr<OpenSegment> open_;
  std::uint64_t next_sequence_ = 0;  // the lowest that may be opened next
  std::optional<Uuid> journal_;      // of what was read last
  std::uint64_t position_ = 0;       // in that journal
  std::optional<Gap> pending_;
  BlockOpener opener_;
};

Result<void> ForeignReader::list() {
  SPILLWAY_TRY(segments, list_segment_names(env_, directory_));
  segments_ = std::move(segments);
  return {};
}

/// To the last segment of the first journal from `journal_sequence` on that begins at or below the
/// offset, if what follows it in that journal begins above.
Result<void> ForeignReader::seek_from(std::uint64_t journal_sequence, std::uint64_t offset) {
  SPILLWAY_CHECKED(list());
  open_.reset();
  pending_.reset();
  journal_.reset();
  next_sequence_ = 0;
  position_ = offset;
  for (SegmentInfo& info : segments_) {
    SPILLWAY_TRY(there, inspect_segment(env_, info));
    if (!there || !info.readable || info.header.journal_sequence() < journal_sequence) continue;
    const bool first = !journal_;
    if (!first && (info.journal() != *journal_ || info.base_offset > offset)) break;
    journal_ = info.journal();
    next_sequence_ = info.sequence;
  }
  return {};
}

/// True: a segment is open, or something is pending. False: there is none yet.
Result<bool> ForeignReader::enter() {
  bool listed_anew = false;
  while (true) {
    const auto later = std::find_if(segments_.begin(), segments_.end(), [this](const auto& info) {
      return info.sequence >= next_sequence_;
    });
    if (later == segments_.end()) {
      if (listed_anew) return false;
      listed_anew = true;
      SPILLWAY_CHECKED(list());
      continue;
    }
    SPILLWAY_TRY(there, inspect_segment(env_, *later));
    if (!there || !later->readable) {
      next_sequence_ = later->sequence + 1;  // freed by now, or damage
      continue;
    }
    // What is missing may have been freed since the listing: then it is not damage.
    const bool missing = journal_ == later->journal() && later->base_offset > position_;
    if (missing && !listed_anew) {
      listed_anew = true;
      SPILLWAY_CHECKED(list());
      continue;
    }
    SPILLWAY_TRY(opened, open(*later, later == segments_.begin()));
    if (opened) return true;
    next_sequence_ = later->sequence + 1;
  }
}

Result<bool> ForeignReader::open(SegmentInfo& info, bool is_oldest) {
  if (journal_ != info.journal()) {
    journal_ = info.journal();
    position_ = info.base_offset;
  } else if (info.base_offset > position_) {
    const auto reason = is_oldest ? format::GapReason::none : format::GapReason::damage;
    pending_ = Gap{position_, info.base_offset, reason, 0, info.journal()};
  }
  auto file = env_.open(info.path, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) {
    pending_.reset();
    return false;
  }
  if (!file) return tl::unexpected(std::move(file).error());
  // What stands under the name may have been put in its place since the listing.
  format::SegmentHeader header;
  SPILLWAY_TRY(got, (*file)->read(0, writable_bytes_of(header)));
  SPILLWAY_TRY(bytes, (*file)->size());
  if (got == sizeof(header) && check_segment_header(header, bytes)) info.header = header;
  open_ = std::make_unique<OpenSegment>(info, std::move(*file));
  next_sequence_ = info.sequence + 1;
  opener_.begin_segment();
  return true;
}

bool ForeignReader::may_have_later() const {
  return std::any_of(segments_.begin(), segments_.end(),
                     [this](const SegmentInfo& info) { return info.sequence >= next_sequence_; });
}

/// Where the open segment has no further block. True: look on, in it again or behind it.
Result<bool> ForeignReader::leave() {
  if (!open_->last_look) {
    if (!may_have_later()) {
      const auto control = control_.load();
      const bool unchanged = control && control->newest_segment() == open_->info.sequence;
      if (unchanged) return false;
      SPILLWAY_CHECKED(list());
      if (!may_have_later()) return false;
    }
    // Blocks may have come between the last look and the later segment.
    open_->window.refresh();
    open_->last_look = true;
    return true;
  }
  open_.reset();
  return true;
}

Result<std::optional<ScannedBlock>> ForeignReader::scan() {
  SPILLWAY_TRY(block, open_->scan.next(open_->window));
  if (block || open_->scan.sealed()) return block;
  open_->window.refresh();  // it may be older than the block
  return open_->scan.next(open_->window);
}

/// Nothing: it is passed over.
std::optional<StreamItem> ForeignReader::take(const ScannedBlock& scanned) {
  opener_.learn(scanned);
  const auto kind = scanned.kind();
  if (kind == format::BlockKind::seal) return std::nullopt;
  if (kind == format::BlockKind::dictionary && !opener_.offers_stored()) return std::nullopt;
  Block block = block_of(scanned, open_->info);
  const std::uint64_t next = scanned.next_offset();
  const std::uint64_t first = std::max(position_, scanned.header.base_offset());
  if (kind != format::BlockKind::data && kind != format::BlockKind::gap) return block;
  if (next <= position_) return std::nullopt;
  position_ = next;
  if (kind == format::BlockKind::gap) {
    format::GapDeclaration gap;
    std::memcpy(&gap, scanned.stored.data(), sizeof(gap));
    return Gap{first, next, static_cast<format::GapReason>(gap.reason()), 0, *journal_};
  }
  if (first > scanned.header.base_offset()) block.skip_below = first;
  if (opener_.open(scanned, block)) return block;
  return Gap{first, next, format::GapReason::damage, 0, *journal_};
}

Result<std::optional<StreamItem>> ForeignReader::next() {
  while (true) {
    if (!open_) {
      SPILLWAY_TRY(entered, enter());
      if (!entered) return std::optional<StreamItem>{};
    }
    if (pending_) {
      const Gap gap = *std::exchange(pending_, std::nullopt);
      position_ = gap.next_offset;
      return std::optional<StreamItem>(gap);
    }
    SPILLWAY_TRY(block, scan());
    if (block) {
      if (auto item = take(*block)) return item;
      continue;
    }
    SPILLWAY_TRY(look_on, leave());
    if (!look_on) return std::optional<StreamItem>{};
  }
}

Result<std::uint64_t> ForeignReader::oldest_offset() {
  SPILLWAY_TRY(segments, list_segment_names(env_, directory_));
  for (SegmentInfo& info : segments) {
    SPILLWAY_TRY(there, inspect_segment(env_, info));
    if (there && info.readable) return info.base_offset;
  }
  return std::uint64_t{0};
}

Result<std::vector<JournalRange>> ForeignReader::journals() {
  // Taken before the listing: should the newest segment be a later one by now, it is walked.
  const auto control = control_.load();
  SPILLWAY_TRY(segments, list_segment_names(env_, directory_));
  const bool known = control && !segments.empty() &&
                     control->newest_segment() == segments.back().sequence &&
                     control->next_offset() >= segments.back().base_offset;
  return journals_of(env_, segments, known ? std::optional(control->next_offset()) : std::nullopt);
}

}  // namespace

Result<std::unique_ptr<StreamReader>> open_foreign_reader(env::Env& env,
                                                          const std::string& directory) {
  auto reader = std::make_unique<ForeignReader>(env, directory);
  SPILLWAY_CHECKED(reader->begin());
  return std::unique_ptr<StreamReader>(std::move(reader));
}

}  // namespace spillway::core
