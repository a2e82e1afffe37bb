// Compressed blocks. A dictionary is written before the first block of a segment that uses it, and
// not into the head: a segment in which nothing is compressed has none.
//
// A run is copied out of the lane first, checked in that copy, and compressed from it: so nothing
// can change between check and use, and a hostile lane gains nothing by changing its bytes.
#include <algorithm>

#include "core/spill/stream_impl.h"
#include "spillway/core/codec.h"

namespace spillway::core {

namespace {

/// Small enough to stand in each segment; 4 KiB hold all that the system sensor's records share.
constexpr std::uint64_t kDictionaryBytesLargest = 4096;
constexpr std::uint64_t kSegmentToDictionary = 64;

}  // namespace

std::string_view name_of(Compress compress) {
  switch (compress) {
    case Compress::kBacklog:
      return "backlog";
    case Compress::kAlways:
      return "always";
    case Compress::kNever:
      break;
  }
  return "never";
}

Result<void> TrainingOrder::run() const { return training->run(); }

void StreamImpl::start_codec(const FoundStream& found) {
  for (const auto& bytes : found.dictionaries) learn_dictionary(bytes);
  dictionary_offset_ = found.next_offset;
  // They may all stand in the segment that goes on.
  dictionary_segment_ = found.next_sequence == 0 ? 0 : found.next_sequence - 1;
  dictionaries_in_segment_ = dictionaries_.size();
  if (options_.compress == Compress::kNever) return;
  compressor_ = std::make_unique<Compressor>();
  dictionary_plan_ = std::make_unique<DictionaryPlan>(static_cast<std::size_t>(
      std::min(kDictionaryBytesLargest, options_.segment_bytes / kSegmentToDictionary)));
  if (!dictionaries_.empty()) dictionary_plan_->adopt();
}

bool StreamImpl::compresses() const {
  if (options_.compress == Compress::kBacklog) return segments_.size() > kBacklogSegments;
  return options_.compress == Compress::kAlways;
}

const Dictionary* StreamImpl::dictionary() const {
  return dictionaries_.empty() ? nullptr : dictionaries_.back().get();
}

Result<Appended> StreamImpl::append_compressed(const FrameRun& run, LanePosition& lane) {
  const auto copy = compressor_->stage(run.frames);
  SPILLWAY_TRY(count, count_frames(copy));
  if (count == 0) return fail(ErrorCode::kInvalidArgument, what() + "an empty run of frames");
  auto stored = compressor_->compress(copy, dictionary());
  if (!stored.empty()) {
    SPILLWAY_TRY(brought, bring_dictionary(stored.size()));
    if (!brought) stored = {};
  }
  const bool pays = !stored.empty();
  if (!pays) {
    stored = copy;
    SPILLWAY_CHECKED(make_room(stored.size()));
  }
  static_cast<void>(draft_.stage(stored));
  format::BlockHeader header = header_of(format::BlockKind::data, next_offset_);
  header.mutate_count(count);
  if (pays) {
    header.mutate_codec(static_cast<std::uint8_t>(format::Codec::zstd));
    header.mutate_raw_size(static_cast<std::uint32_t>(copy.size()));
    ++totals_.compressed_blocks;
  }
  dictionary_plan_->note(copy, stored.size());
  return publish(run, lane, header);
}

bool StreamImpl::dictionary_stands() const {
  return dictionaries_.empty() || (dictionary_segment_ == active_->info().sequence &&
                                   standing_dictionary_ == dictionaries_.back());
}

/// After this the active segment has the dictionary, if there is one, and room for a block that uses
/// it. False: both do not fit into one segment.
Result<bool> StreamImpl::bring_dictionary(std::uint64_t stored_bytes) {
  if (dictionary_stands()) {
    SPILLWAY_CHECKED(make_room(stored_bytes));
    if (dictionary_stands()) return true;
  }
  const std::uint64_t bytes = block_bytes(dictionary()->bytes().size()) + stored_bytes;
  if (bytes > run_bytes_max()) return false;
  SPILLWAY_CHECKED(make_room(bytes));
  SPILLWAY_CHECKED(write_dictionary(*active_, dictionaries_.back(), next_offset_));
  return true;
}

Result<void> StreamImpl::write_dictionary(SegmentWriter& segment,
                                          const std::shared_ptr<const Dictionary>& written,
                                          std::uint64_t base_offset) {
  SPILLWAY_CHECKED(segment.write_block(header_of(format::BlockKind::dictionary, base_offset),
                                       written->bytes(), draft_));
  const std::uint64_t sequence = segment.info().sequence;
  dictionaries_in_segment_ = dictionary_segment_ == sequence ? dictionaries_in_segment_ + 1 : 1;
  dictionary_segment_ = sequence;
  standing_dictionary_ = written;
  return {};
}

/// One that was found in the spill: what comes after may use it.
void StreamImpl::learn_dictionary(std::span<const std::byte> bytes) {
  auto made = Dictionary::make({bytes.begin(), bytes.end()});
  if (!made) return;  // a block that names it is damage for its readers, too
  std::erase_if(dictionaries_,
                [&](const auto& known) { return known->bytes() == (*made)->bytes(); });
  dictionaries_.push_back(std::move(*made));
  if (dictionaries_.size() > kDictionariesMax) dictionaries_.erase(dictionaries_.begin());
}

/// Into a segment in which unsynced blocks are written again: the last one is the one in use.
Result<void> StreamImpl::write_live_dictionaries(SegmentWriter& segment,
                                                 std::uint64_t base_offset) {
  for (const auto& live : dictionaries_) {
    SPILLWAY_CHECKED(write_dictionary(segment, live, base_offset));
  }
  return {};
}

std::uint64_t StreamImpl::live_dictionary_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& live : dictionaries_) bytes += block_bytes(live->bytes().size());
  return bytes;
}

std::optional<TrainingOrder> StreamImpl::order_training() {
  if (dictionary_plan_ == nullptr || !compresses()) return std::nullopt;
  auto training = dictionary_plan_->order();
  if (training == nullptr) return std::nullopt;
  return TrainingOrder{std::move(training)};
}

void StreamImpl::finish_training(const TrainingOrder& order, const Result<void>& outcome) {
  // What is not power-safe may need the one in use, should it have to be written again: two at once
  // are enough. And a segment's readers keep no more than kDictionariesMax.
  const bool room = dictionary_segment_ != active_->info().sequence ||
                    dictionaries_in_segment_ + 1 < kDictionariesMax;
  const bool adopted = outcome && order.training->dictionary &&
                       unsynced_.front().offset >= dictionary_offset_ && room;
  if (adopted) {
    if (dictionaries_.size() > 1)
      dictionaries_.erase(dictionaries_.begin(), dictionaries_.end() - 1);
    dictionaries_.push_back(order.training->dictionary);
    dictionary_offset_ = next_offset_;
    ++totals_.dictionaries;
  }
  dictionary_plan_->finish(adopted);
}

}  // namespace spillway::core
