#include "core/codec/compressor.h"

#include <algorithm>

#include "spillway/core/assert.h"

namespace spillway::core {

Compressor::Compressor()
    : context_(ZSTD_createCCtx(), &ZSTD_freeCCtx), copy_(kRunBytesMax), out_(kRunBytesMax) {
  SPILLWAY_ASSERT(context_ != nullptr);  // out of memory, as any other allocation
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kCompressionLevel);
  // The block's checksum covers the frame already.
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 0);
  // The largest run first: no later one needs more memory.
  static_cast<void>(compress(copy_, nullptr));
}

std::span<const std::byte> Compressor::stage(std::span<const std::byte> frames) {
  SPILLWAY_ASSERT(frames.size() <= copy_.size());
  std::copy(frames.begin(), frames.end(), copy_.begin());
  return std::span<const std::byte>(copy_).first(frames.size());
}

std::span<const std::byte> Compressor::compress(std::span<const std::byte> frames,
                                                const Dictionary* dictionary) {
  use_dictionary(context_.get(), dictionary == nullptr ? nullptr : dictionary->zstd());
  // No more room than what pays: zstd gives up where it does not suffice.
  const std::size_t room = frames.size() - frames.size() / 10;
  const std::size_t size =
      ZSTD_compress2(context_.get(), out_.data(), room, frames.data(), frames.size());
  if (ZSTD_isError(size) != 0) return {};
  return std::span<const std::byte>(out_).first(size);
}

}  // namespace spillway::core
