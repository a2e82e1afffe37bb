// What the codec's tests share: records that look like a sensor's, a dictionary trained from them,
// and compressed blocks made of them.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/codec/compressor.h"
#include "spill_helpers.h"
#include "spillway/core/codec.h"
#include "spillway/core/dictionary.h"

namespace spillway::core::testing {

/// A reading as a sensor sends it: mostly the same words, a few numbers that move.
inline std::string sensor_record(std::uint64_t number) {
  std::string text = "site-17/pump-3 {\"sequence\":" + std::to_string(number) +
                     ",\"bearing_celsius\":" + std::to_string(40 + number * 7919 % 97) +
                     ",\"inlet_bar\":" + std::to_string(number * 104729 % 1000) +
                     ",\"state\":\"running\",\"operator\":\"none\"}";
  return text;
}

inline std::vector<std::byte> sensor_frames(std::uint64_t first, std::size_t count) {
  std::vector<std::byte> frames;
  for (std::size_t i = 0; i < count; ++i) add_frame(frames, sensor_record(first + i), first + i);
  return frames;
}

/// `variant` gives dictionaries with different contents.
inline std::shared_ptr<const Dictionary> train_dictionary(std::uint64_t variant = 0,
                                                          std::size_t bytes = 2048) {
  Training training;
  training.dictionary_bytes = bytes;
  for (std::uint64_t i = 0; i < 400; ++i) {
    std::vector<std::byte> frame;
    add_frame(frame, std::to_string(variant) + " variant " + sensor_record(i * (variant + 1)), i);
    training.samples.insert(training.samples.end(), frame.begin(), frame.end());
    training.sizes.push_back(frame.size());
  }
  value_of(training.run());
  return training.dictionary;
}

struct CompressedBlock {
  format::BlockHeader header;
  std::vector<std::byte> stored;
};

inline CompressedBlock compress_block(Compressor& compressor, const std::vector<std::byte>& frames,
                                      std::uint32_t count, const Dictionary* dictionary) {
  const auto stored = compressor.compress(compressor.stage(frames), dictionary);
  CompressedBlock block;
  block.stored.assign(stored.begin(), stored.end());
  block.header.mutate_kind(static_cast<std::uint8_t>(format::BlockKind::data));
  block.header.mutate_codec(static_cast<std::uint8_t>(format::Codec::zstd));
  block.header.mutate_raw_size(static_cast<std::uint32_t>(frames.size()));
  block.header.mutate_stored_size(static_cast<std::uint32_t>(stored.size()));
  block.header.mutate_count(count);
  return block;
}

inline CompressedBlock compress_block(const std::vector<std::byte>& frames, std::uint32_t count,
                                      const Dictionary* dictionary) {
  Compressor compressor;
  return compress_block(compressor, frames, count, dictionary);
}

}  // namespace spillway::core::testing
