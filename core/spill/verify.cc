#include "spillway/core/verify.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "core/spill/paths.h"
#include "core/spill/segment_scan.h"
#include "core/spill/stream_listing.h"
#include "spillway/core/codec.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

class Verification {
 public:
  Verification(env::Env& env, std::string directory)
      : env_(env), directory_(std::move(directory)) {}

  Result<VerifyReport> run() {
    // First: a running agent's tail moves on while the segments are read, and only what it had published
    // before must be found in them.
    published_ = ControlView(env_, directory_).load();
    SPILLWAY_TRY(segments, list_segments(env_, directory_));
    segments_ = std::move(segments);
    SPILLWAY_TRY(gaps, GapTable::load(env_, join(directory_, kGapsName)));
    report_.gaps = std::move(gaps);
    for (std::size_t i = 0; i < segments_.size(); ++i) SPILLWAY_CHECKED(check_segment(i));
    SPILLWAY_TRY(reader, StreamReader::open(env_, directory_));
    SPILLWAY_TRY(journals, reader->journals());
    report_.journals = std::move(journals);
    return std::move(report_);
  }

 private:
  Result<void> check_segment(std::size_t index);
  void check_content(const SegmentInfo& info, const ScannedBlock& block, BlockDecoder& decoder);
  void note_gap(const SegmentInfo& info, const ScannedBlock& block);
  Result<void> check_end(const SegmentInfo& info, const SegmentScan& scan, std::uint64_t limit,
                         FileWindow& source);
  Result<bool> is_unexplained(const SegmentInfo& info, const SegmentScan& scan, FileWindow& source);
  Result<void> count_behind(const SegmentInfo& info, std::uint64_t position, FileWindow& source,
                            Damage& damage);

  env::Env& env_;
  std::string directory_;
  std::optional<format::StreamControl> published_;
  std::vector<SegmentInfo> segments_;
  VerifyReport report_;
  std::vector<std::byte> decoded_;
};

Result<void> Verification::check_segment(std::size_t index) {
  const SegmentInfo& info = segments_[index];
  const std::uint64_t limit = end_limit(segments_, index);
  SegmentReport segment;
  segment.path = info.path;
  segment.sequence = info.sequence;
  segment.base_offset = info.base_offset;
  segment.next_offset = info.base_offset;
  segment.file_bytes = info.bytes;
  segment.readable = info.readable;
  segment.problem = info.problem;
  if (!info.readable) {
    const bool newest = limit == kNoLimit;
    const std::uint64_t next = newest ? info.base_offset : std::max(limit, info.base_offset);
    // A roll that was cut short lost nothing, nor does one that a later segment overrides whole.
    if (newest ? !info.never_begun : !cover(report_.gaps, info.base_offset, next)) {
      report_.damages.push_back({info.path, 0, info.base_offset, next, info.problem, 0, 0});
    }
    report_.segments.push_back(std::move(segment));
    return {};
  }
  auto file = env_.open(info.path, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return {};  // freed since the listing
  if (!file) return tl::unexpected(std::move(file).error());
  FileWindow window(std::move(*file));
  SegmentScan scan(info.header);
  scan.set_limit(limit);
  BlockDecoder decoder;
  while (true) {
    SPILLWAY_TRY(block, scan.next(window));
    if (!block) break;
    ++segment.blocks;
    segment.records += block->header.count();
    check_content(info, *block, decoder);
    if (is_foreign(info)) note_gap(info, *block);
  }
  SPILLWAY_TRY(still_held, env_.exists(info.path));
  if (!still_held) return {};  // freed and recycled under our eyes
  if (info.healed) {
    report_.damages.push_back({info.path, 0, info.base_offset, info.base_offset, info.problem});
    report_.damages.back().nothing_lost = true;
  }
  segment.next_offset = scan.next_offset();
  segment.used_bytes = scan.position();
  segment.sealed = scan.sealed();
  report_.blocks += segment.blocks;
  report_.records += segment.records;
  report_.segments.push_back(std::move(segment));
  return check_end(info, scan, limit, window);
}

/// What the walk does not look at: whether a compressed block can be decoded.
void Verification::check_content(const SegmentInfo& info, const ScannedBlock& block,
                                 BlockDecoder& decoder) {
  Result<void> sound;
  if (block.kind() == format::BlockKind::dictionary) sound = decoder.learn(block.stored);
  if (is_compressed(block.header)) {
    decoded_.resize(kDecodedBytesMax);
    sound = decoder.decode(block.header, block.stored,
                           std::span(decoded_).first(block.header.raw_size()));
  }
  if (sound) return;
  const std::uint64_t first = block.header.base_offset();
  report_.damages.push_back({info.path, block.position, first, first + block.header.count(),
                             sound.error().message, 0, 0});
}

/// A foreign stream has its gaps among its blocks.
void Verification::note_gap(const SegmentInfo& info, const ScannedBlock& block) {
  if (block.kind() != format::BlockKind::gap) return;
  format::GapDeclaration gap;
  std::memcpy(&gap, block.stored.data(), sizeof(gap));
  report_.gaps.push_back({block.header.base_offset(), gap.next_offset(),
                          static_cast<format::GapReason>(gap.reason()), 0, info.journal()});
}

Result<void> Verification::check_end(const SegmentInfo& info, const SegmentScan& scan,
                                     std::uint64_t limit, FileWindow& source) {
  const std::uint64_t end = scan.next_offset();
  Damage damage{info.path, scan.position(), end, end, scan.reason(), 0, 0};
  if (limit != kNoLimit) {
    if (end >= limit || cover(report_.gaps, end, limit)) return {};
    damage.next_offset = limit;
  } else {
    if (scan.sealed()) return {};
    // The last segment of a journal that was followed by another: there its origin went on.
    if (is_foreign(info) && info.sequence != segments_.back().sequence) return {};
    SPILLWAY_TRY(unexplained, is_unexplained(info, scan, source));
    if (!unexplained) return {};
  }
  SPILLWAY_CHECKED(count_behind(info, scan.position(), source, damage));
  report_.damages.push_back(std::move(damage));
  return {};
}

/// The newest segment's end: unwritten, or an append that was never published?
Result<bool> Verification::is_unexplained(const SegmentInfo& info, const SegmentScan& scan,
                                          FileWindow& source) {
  if (published_) return published_->next_offset() > scan.next_offset();
  for (const std::uint64_t at : {scan.position(), round_up(scan.position(), kPageBytes)}) {
    SPILLWAY_TRY(unwritten, is_unwritten(info.header, at, scan.next_offset(), source));
    if (!unwritten) return true;
  }
  return false;
}

/// Steps over every place where a block could stand.
Result<void> Verification::count_behind(const SegmentInfo& info, std::uint64_t position,
                                        FileWindow& source, Damage& damage) {
  std::uint64_t expected = damage.first_offset;
  std::uint64_t at = position;
  while (at + kBlockHeaderBytes <= info.bytes) {
    format::BlockHeader header;
    SPILLWAY_TRY(head, source.view(at, kBlockHeaderBytes));
    if (head.size() < kBlockHeaderBytes) break;
    std::memcpy(&header, head.data(), kBlockHeaderBytes);
    std::uint64_t step = kBlockAlignment;
    const bool plausible =
        header.base_offset() >= expected &&
        check_block_header(header, info.bytes - at, header.base_offset()).has_value();
    if (plausible) {
      SPILLWAY_TRY(whole, source.view(at, kBlockHeaderBytes + header.stored_size()));
      const bool valid = whole.size() == kBlockHeaderBytes + std::size_t{header.stored_size()} &&
                         check_block(header, whole.subspan(kBlockHeaderBytes), info.header.salt(),
                                     header.base_offset())
                             .has_value();
      if (valid) {
        const bool first_behind = damage.blocks_behind++ == 0;
        if (first_behind && damage.next_offset == damage.first_offset) {
          damage.next_offset = header.base_offset();
        }
        damage.records_behind += header.count();
        expected = header.base_offset() + header.count();
        step = round_up(kBlockHeaderBytes + std::uint64_t{header.stored_size()}, kBlockAlignment);
      }
    }
    at += step;
  }
  return {};
}

}  // namespace

Result<VerifyReport> verify_stream(env::Env& env, const std::string& directory) {
  return Verification(env, directory).run();
}

}  // namespace spillway::core
