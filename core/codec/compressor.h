// Compressor: makes a run of frames smaller, if that pays. Private to core; the drain's thread.
//
// Its memory is made at the start: a copy of the run (the lane's own bytes may change while they are
// read), room for what comes out, and zstd's context (which zstd may make smaller, once in 128
// blocks at most, where all of them were far smaller than it).
#pragma once

#include <zstd.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "spillway/core/dictionary.h"
#include "spillway/core/format.h"

namespace spillway::core {

class Compressor {
 public:
  /// Longer runs are stored as they are, and so are shorter ones: nothing is gained below a header.
  static constexpr std::size_t kRunBytesMax = kDecodedBytesMax;
  static constexpr std::size_t kRunBytesMin = 64;

  Compressor();

  [[nodiscard]] static bool takes(std::size_t run_bytes) {
    return run_bytes >= kRunBytesMin && run_bytes <= kRunBytesMax;
  }
  /// The private copy: what is checked is what is compressed. Good until the next call.
  [[nodiscard]] std::span<const std::byte> stage(std::span<const std::byte> frames);
  /// One zstd frame, good until the next call; empty where it is not a tenth smaller. `dictionary`
  /// may be null.
  [[nodiscard]] std::span<const std::byte> compress(std::span<const std::byte> frames,
                                                    const Dictionary* dictionary);

 private:
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context_;
  std::vector<std::byte> copy_;
  std::vector<std::byte> out_;
};

}  // namespace spillway::core
