// BlockDecoder: what a compressed block decodes to. For readers of the spill and for the consumer.
//
// One thread. Its memory is bounded: the latest kDictionariesMax dictionaries and, from the first
// compressed block on, a context.
//
// Invariants:
//  1. Nothing of the bytes is trusted: exactly raw_size bytes come out, from exactly one zstd frame,
//     and they are a run of exactly `count` frames; anything else is kCorrupt.
//  2. A block is decoded with the dictionary that it names, or with none: never with another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/core/format.h"
#include "spillway/core/result.h"

namespace spillway::core {

[[nodiscard]] inline bool is_compressed(const format::BlockHeader& header) {
  return header.codec() != static_cast<std::uint8_t>(format::Codec::none);
}

/// The id of the dictionary that a compressed block's bytes name; 0: none.
[[nodiscard]] std::uint32_t dictionary_named_by(std::span<const std::byte> stored);

class BlockDecoder {
 public:
  BlockDecoder();
  ~BlockDecoder();
  BlockDecoder(BlockDecoder&&) noexcept;
  BlockDecoder& operator=(BlockDecoder&&) noexcept;
  BlockDecoder(const BlockDecoder&) = delete;
  BlockDecoder& operator=(const BlockDecoder&) = delete;

  /// The stored bytes of a dictionary block. kCorrupt: zstd cannot use it, or its id is not its own.
  [[nodiscard]] Result<void> learn(std::span<const std::byte> dictionary);
  /// A segment reads alone: what the one before it declared does not count.
  void forget();

  /// `frames` has header.raw_size bytes. The header's own rules must hold (check_block_header).
  [[nodiscard]] Result<void> decode(const format::BlockHeader& header,
                                    std::span<const std::byte> stored, std::span<std::byte> frames);

 private:
  struct Context;
  struct Dictionary;

  std::unique_ptr<Context> context_;
  std::vector<Dictionary> dictionaries_;  // the latest one last
};

}  // namespace spillway::core
