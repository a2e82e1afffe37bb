// MessagePacker: makes one stream's Blocks messages small: the short form, and zstd with a dictionary
// that it trains from what the stream sends. Lives as long as its BlockSource, over many sessions.
//
// One thread, but for the run of a training, which is any other's: it takes tens of milliseconds.
//
//                enough samples                 trained
//   kCollecting ---------------> kTraining -----------------> kUsing
//      ^    ^                        | nothing in common         |
//      |    |                        v                           |
//      |    +-------------------- kResting                       |
//      |      kRestBytes later                                   |
//      +---------------------------------------------------------+
//        once, for a better one, and when messages have become half as large again as they were
//
//   kForgoing from the start: where there are too many streams.
//
// Invariants:
//  1. Nothing is packed for a far end that did not agree to short forms, and no dictionary is used
//     that this session has not told or its Welcome named.
//  2. Each message unpacks by itself, with the dictionary that it names.
//  3. What does not become smaller goes uncompressed, and large messages that did not are followed by
//     ever more that are not tried, kUntriedMax at most: what cannot be compressed costs little.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "spillway/core/dictionary.h"
#include "uplink/protocol/messages.h"

namespace spillway::uplink {

class MessagePacker {
 public:
  static constexpr std::size_t kDictionaryBytes = 8 * 1024;
  /// What the first dictionary learns from, and what later ones do.
  static constexpr std::size_t kFirstSampleBytes = 32 * 1024;
  static constexpr std::size_t kSampleBytes = 256 * 1024;
  static constexpr std::size_t kSamplesMax = 4096;
  /// Of one message no more becomes samples, in pieces of this size, so that one burst is not all
  /// that is learned from.
  static constexpr std::size_t kSampleBytesPerMessage = 8 * 1024;
  static constexpr std::size_t kSamplePieceBytes = 1024;
  /// Over this much content it is judged whether a dictionary still fits.
  static constexpr std::uint64_t kJudgedBytes = 1 << 20;
  static constexpr std::uint64_t kRestBytes = 64 << 20;
  static constexpr std::uint32_t kUntriedMax = 64;
  /// Messages up to this are compressed as hard as zstd can: that is what a slow link carries live,
  /// and so few bytes cost little. Of the system sensor it saves a tenth.
  static constexpr std::size_t kSmallBytes = 4 * 1024;

  /// From now on without a dictionary: it and its samples take hundreds of kilobytes, too much for each
  /// of thousands of streams.
  void forgo_dictionary() { state_ = State::kForgoing; }
  /// A session's Welcome: what the far end takes, and the dictionaries of this stream that it has.
  void begin_session(bool short_form, std::span<const std::uint64_t> known);
  /// The Dictionary message that has to go before the next Blocks, if one has.
  [[nodiscard]] std::optional<Bytes> take_dictionary(std::uint16_t stream);
  /// The message in its short form; nothing: it goes as it is. `journal`: its place in Hello's list.
  [[nodiscard]] std::optional<Bytes> pack(const Blocks& blocks, std::size_t journal);

  /// The training that is due: run() it anywhere and come back through finish.
  [[nodiscard]] std::shared_ptr<core::Training> order();
  void finish(const core::Training& training, const core::Result<void>& outcome);

 private:
  enum class State : std::uint8_t { kCollecting, kTraining, kUsing, kResting, kForgoing };

  [[nodiscard]] std::optional<Bytes> compress(std::span<const std::byte> content) const;
  [[nodiscard]] bool worth_trying(std::size_t content_bytes);
  void note(std::span<const std::byte> content, std::size_t packed_bytes);
  void collect(std::span<const std::byte> content);
  void judge();

  State state_ = State::kCollecting;
  bool short_form_ = false;
  std::shared_ptr<const core::Dictionary> dictionary_;
  std::shared_ptr<const ZSTD_CDict> small_dictionary_;  // the same, for small messages
  bool told_ = false;                                   // the far end has it
  std::shared_ptr<core::Training> training_;
  bool refined_ = false;         // it is not the first one, made from little
  std::uint64_t raw_bytes_ = 0;  // since the last judgement, or the rest's beginning
  std::uint64_t packed_bytes_ = 0;
  double best_share_ = 1;      // packed to raw, the least over kJudgedBytes
  std::uint32_t untried_ = 0;  // so many large messages are not tried
  std::uint32_t untried_next_ = 1;
};

}  // namespace spillway::uplink
