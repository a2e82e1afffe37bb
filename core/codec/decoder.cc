#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "spillway/core/assert.h"
#include "spillway/core/codec.h"

namespace spillway::core {

struct BlockDecoder::Context {
  ZSTD_DCtx* zstd = ZSTD_createDCtx();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { ZSTD_freeDCtx(zstd); }
};

struct BlockDecoder::Dictionary {
  std::uint32_t id = 0;
  std::unique_ptr<ZSTD_DDict, decltype(&ZSTD_freeDDict)> zstd{nullptr, &ZSTD_freeDDict};
};

BlockDecoder::BlockDecoder() = default;
BlockDecoder::~BlockDecoder() = default;
BlockDecoder::BlockDecoder(BlockDecoder&&) noexcept = default;
BlockDecoder& BlockDecoder::operator=(BlockDecoder&&) noexcept = default;

namespace {

tl::unexpected<Error> undecodable(const std::string& rule) {
  return fail(ErrorCode::kCorrupt, "a compressed block " + rule);
}

}  // namespace

Result<void> BlockDecoder::learn(std::span<const std::byte> dictionary) {
  SPILLWAY_CHECKED(check_dictionary(dictionary));
  std::uint32_t id = 0;
  std::memcpy(&id, dictionary.data() + sizeof id, sizeof id);
  const auto known = std::find_if(dictionaries_.begin(), dictionaries_.end(),
                                  [id](const Dictionary& other) { return other.id == id; });
  if (known != dictionaries_.end()) {
    // The same content, for the id is made from it; a peer who forges one misleads himself alone.
    std::rotate(known, known + 1, dictionaries_.end());
    return {};
  }
  Dictionary made;
  made.id = id;
  made.zstd.reset(ZSTD_createDDict(dictionary.data(), dictionary.size()));
  if (made.zstd == nullptr || ZSTD_getDictID_fromDDict(made.zstd.get()) != id) {
    return fail(ErrorCode::kCorrupt, "zstd does not take a dictionary of " +
                                         std::to_string(dictionary.size()) + " bytes");
  }
  dictionaries_.push_back(std::move(made));
  if (dictionaries_.size() > kDictionariesMax) dictionaries_.erase(dictionaries_.begin());
  return {};
}

std::uint32_t dictionary_named_by(std::span<const std::byte> stored) {
  return ZSTD_getDictID_fromFrame(stored.data(), stored.size());
}

void BlockDecoder::forget() { dictionaries_.clear(); }

Result<void> BlockDecoder::decode(const format::BlockHeader& header,
                                  std::span<const std::byte> stored, std::span<std::byte> frames) {
  SPILLWAY_ASSERT(frames.size() == header.raw_size());
  // One frame and nothing behind it: zstd itself would go on with what follows.
  if (ZSTD_findFrameCompressedSize(stored.data(), stored.size()) != stored.size()) {
    return undecodable("is not one whole zstd frame");
  }
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != frames.size()) {
    return undecodable("says another raw size than its zstd frame");
  }
  const ZSTD_DDict* dictionary = nullptr;
  if (const unsigned id = ZSTD_getDictID_fromFrame(stored.data(), stored.size()); id != 0) {
    const auto found = std::find_if(dictionaries_.begin(), dictionaries_.end(),
                                    [id](const Dictionary& known) { return known.id == id; });
    if (found == dictionaries_.end()) {
      return undecodable("names dictionary " + std::to_string(id) +
                         ", which was not declared before it");
    }
    dictionary = found->zstd.get();
  }
  if (!context_) {
    context_ = std::make_unique<Context>();
    SPILLWAY_ASSERT(context_->zstd != nullptr);  // out of memory, as any other allocation
  }
  const std::size_t size = ZSTD_decompress_usingDDict(context_->zstd, frames.data(), frames.size(),
                                                      stored.data(), stored.size(), dictionary);
  if (ZSTD_isError(size) != 0) {
    return undecodable(std::string("cannot be decoded: ") + ZSTD_getErrorName(size));
  }
  if (size != frames.size()) return undecodable("decodes to fewer bytes than it says");
  SPILLWAY_TRY(count, count_frames(frames));
  if (count == header.count()) return {};
  return undecodable("says " + std::to_string(header.count()) + " records and holds " +
                     std::to_string(count));
}

}  // namespace spillway::core
