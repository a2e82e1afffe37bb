#include "uplink/session/message_packer.h"

#include <zstd.h>

#include <algorithm>
#include <utility>

#include "spillway/core/assert.h"
#include "spillway/core/format.h"
#include "uplink/protocol/short_form.h"

namespace spillway::uplink {

namespace {

constexpr double kWorseShare = 1.5;
/// Smaller messages are always tried: it costs next to nothing.
constexpr std::size_t kLargeBytes = 16 * 1024;
constexpr std::size_t kZstdMagicBytes = 4;
constexpr int kSmallLevel = 19;

/// One a thread, for all its streams: it may take a megabyte.
ZSTD_CCtx* compression_context() {
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                                  &ZSTD_freeCCtx);
  SPILLWAY_ASSERT(context != nullptr);  // out of memory, as any other allocation
  return context.get();
}

}  // namespace

void MessagePacker::begin_session(bool short_form, std::span<const std::uint64_t> known) {
  short_form_ = short_form;
  told_ = dictionary_ != nullptr &&
          std::find(known.begin(), known.end(), core::content_checksum(dictionary_->bytes())) !=
              known.end();
}

std::optional<Bytes> MessagePacker::take_dictionary(std::uint16_t stream) {
  if (!short_form_ || told_ || dictionary_ == nullptr) return std::nullopt;
  told_ = true;
  return encode(DictionaryMessage{stream, dictionary_->bytes()});
}

/// One zstd frame behind its magic number; nothing where it would not be smaller.
std::optional<Bytes> MessagePacker::compress(std::span<const std::byte> content) const {
  const bool small = content.size() <= kSmallBytes;
  const ZSTD_CDict* dictionary = nullptr;
  if (told_) dictionary = small ? small_dictionary_.get() : dictionary_->zstd();
  ZSTD_CCtx* context = compression_context();
  core::use_dictionary(context, dictionary);
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel,
                         small ? kSmallLevel : core::kCompressionLevel);
  Bytes frame(content.size() + kZstdMagicBytes);
  const std::size_t size =
      ZSTD_compress2(context, frame.data(), frame.size() - 1, content.data(), content.size());
  core::use_dictionary(context, nullptr);  // it may be gone by the next message
  if (ZSTD_isError(size) != 0) return std::nullopt;
  frame.resize(size);
  frame.erase(frame.begin(), frame.begin() + kZstdMagicBytes);
  return frame;
}

std::optional<Bytes> MessagePacker::pack(const Blocks& blocks, std::size_t journal) {
  if (!short_form_) return std::nullopt;
  const auto content = shorten(blocks, journal);
  if (!content || content->size() > kShortBytesMax) return std::nullopt;
  ShortBlocks message{blocks.stream, false,
                      static_cast<std::uint32_t>(core::content_checksum(*content)), *content};
  std::optional<Bytes> frame;
  const bool tried = worth_trying(content->size());
  if (tried) frame = compress(*content);
  if (frame) {
    message.compressed = true;
    message.content = *frame;
    untried_next_ = 1;
  } else if (tried && content->size() >= kLargeBytes) {
    untried_ = untried_next_;
    untried_next_ = std::min(untried_next_ * 2, kUntriedMax);
  }
  if (tried) note(*content, message.content.size());
  return encode(message);
}

bool MessagePacker::worth_trying(std::size_t content_bytes) {
  if (content_bytes < kLargeBytes || untried_ == 0) return true;
  --untried_;
  return false;
}

void MessagePacker::note(std::span<const std::byte> content, std::size_t packed_bytes) {
  if (state_ == State::kTraining || state_ == State::kForgoing) return;
  if (state_ == State::kCollecting) collect(content);
  raw_bytes_ += content.size();
  packed_bytes_ += packed_bytes;
  if (state_ == State::kResting && raw_bytes_ >= kRestBytes) state_ = State::kCollecting;
  if (state_ == State::kUsing && raw_bytes_ >= kJudgedBytes) judge();
}

/// Small messages whole, of large ones pieces from all over.
void MessagePacker::collect(std::span<const std::byte> content) {
  if (training_ == nullptr) {
    training_ = std::make_shared<core::Training>();
    training_->dictionary_bytes = kDictionaryBytes;
  }
  auto& samples = training_->samples;
  auto& sizes = training_->sizes;
  const std::size_t pieces = std::max<std::size_t>(
      std::min(content.size(), kSampleBytesPerMessage) / kSamplePieceBytes, 1);
  const std::size_t step = content.size() / pieces;
  for (std::size_t i = 0; i < pieces && sizes.size() < kSamplesMax; ++i) {
    const std::size_t room = pieces == 1 ? 2 * kSamplePieceBytes : kSamplePieceBytes;
    const auto piece = content.subspan(i * step, std::min(step, room));
    samples.insert(samples.end(), piece.begin(), piece.end());
    sizes.push_back(piece.size());
  }
}

void MessagePacker::judge() {
  const double share = static_cast<double>(packed_bytes_) / static_cast<double>(raw_bytes_);
  best_share_ = std::min(best_share_, share);
  if (share > best_share_ * kWorseShare) state_ = State::kCollecting;
  raw_bytes_ = 0;
  packed_bytes_ = 0;
}

std::shared_ptr<core::Training> MessagePacker::order() {
  if (state_ != State::kCollecting || training_ == nullptr) return nullptr;
  const std::size_t wanted = refined_ || dictionary_ != nullptr ? kSampleBytes : kFirstSampleBytes;
  const bool enough = training_->samples.size() >= wanted || training_->sizes.size() >= kSamplesMax;
  if (!enough) return nullptr;
  state_ = State::kTraining;
  return std::exchange(training_, nullptr);
}

void MessagePacker::finish(const core::Training& training, const core::Result<void>& outcome) {
  raw_bytes_ = 0;
  packed_bytes_ = 0;
  best_share_ = 1;
  if (!outcome || training.dictionary == nullptr) {
    state_ = State::kResting;
    return;
  }
  // The first one is made from little, so that it comes soon: the next is collected for at once.
  refined_ = dictionary_ != nullptr;
  state_ = refined_ ? State::kUsing : State::kCollecting;
  dictionary_ = training.dictionary;
  small_dictionary_.reset(
      ZSTD_createCDict(dictionary_->bytes().data(), dictionary_->bytes().size(), kSmallLevel),
      &ZSTD_freeCDict);
  SPILLWAY_ASSERT(small_dictionary_ != nullptr);  // out of memory, as any other allocation
  told_ = false;
}

}  // namespace spillway::uplink
