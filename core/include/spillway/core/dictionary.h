// Dictionary: a zstd dictionary that one compresses with, and how one is trained: the spill's writer
// for blocks, an uplink for messages.
//
// A Dictionary never changes once made and may be used by any thread. A Training is filled by its
// owner's thread, run once by a worker (it takes tens of milliseconds), and then read by the owner's
// again.
#pragma once

#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::core {

class Dictionary {
 public:
  /// `bytes` as a dictionary block stores them. kCorrupt: no dictionary by the format's rules.
  [[nodiscard]] static Result<std::shared_ptr<const Dictionary>> make(std::vector<std::byte> bytes);

  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  [[nodiscard]] const ZSTD_CDict* zstd() const { return zstd_.get(); }

 private:
  explicit Dictionary(std::vector<std::byte> bytes);

  std::vector<std::byte> bytes_;
  std::unique_ptr<ZSTD_CDict, decltype(&ZSTD_freeCDict)> zstd_;
};

/// From now on the context compresses with this dictionary, or null: with none. Where zstd ran out of room for a frame
/// it refuses another dictionary and keeps the one before, which may be gone by then: so the context ends
/// that frame first.
void use_dictionary(ZSTD_CCtx* context, const ZSTD_CDict* dictionary);

struct Training {
  std::vector<std::byte> samples;  // frames, back to back
  std::vector<std::size_t> sizes;  // of each
  std::size_t dictionary_bytes = 0;
  std::shared_ptr<const Dictionary> dictionary;  // what came out

  /// kInvalidArgument: the samples have nothing in common that a dictionary could hold.
  [[nodiscard]] Result<void> run();
};

/// How hard zstd tries. Of the system sensor's records a higher one saves 4 % more and takes five
/// times as long.
inline constexpr int kCompressionLevel = 3;

}  // namespace spillway::core
