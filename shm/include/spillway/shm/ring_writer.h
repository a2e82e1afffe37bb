// RingWriter: the producer's half of a lane's ring, and nothing but the algorithm: no file, clock,
// bell or count. Producer stands on it; the model checker (tests/model) explores this very header.
//
// One thread. Nothing is allocated, nothing waits. Invariants (rules: docs/format.md, 'The queue'):
//  1. The word at `position_` is zero in the ring until a commit publishes it (rule 1, kept by rule
//     2's terminator).
//  2. A claim fits only if position + skip to the ring's end + frame + one free frame header -
//     consumed <= capacity.
//  3. Nothing of a claim is visible before commit's one release store; a claim that is not
//     committed leaves nothing, and a producer killed at any instruction leaves nothing visible and
//     nothing stuck.
//  4. consumed_seen_ never runs ahead of the agent's word, so a stale value can only refuse too
//     early, and is then renewed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spillway/core/atomic.h"
#include "spillway/core/frame.h"
#include "spillway/core/prefetch.h"
#include "spillway/core/step.h"

namespace spillway::shm {

class RingWriter {
 public:
  using Word = core::Atomic<std::uint32_t>;
  using Position = core::Atomic<std::uint64_t>;

  RingWriter() = default;
  /// `data`: `capacity` bytes (a power of two), 16-byte aligned, the first word zero. `consumed`:
  /// the agent's word. Position 0.
  RingWriter(std::byte* data, std::uint64_t capacity, const Position& consumed)
      : data_(data), capacity_(capacity), consumed_(&consumed) {}

  /// Room for a record of `size` bytes (1 .. capacity / 2 - 32), 16-byte aligned; null if there is
  /// none. Takes the place of the claim before, if that was not committed.
  [[nodiscard]] std::byte* claim(std::size_t size);
  /// Publishes the claim's first `size` bytes as one record. False if there is no claim, or size is
  /// 0 or beyond it: then nothing is published.
  [[nodiscard]] bool commit(std::size_t size, std::uint64_t ticks);
  /// claim, write and commit in one, for less: `fill(room)` writes all `size` bytes and does nothing
  /// else. False if there is no room.
  template <typename Fill>
  [[nodiscard]] bool put(std::size_t size, std::uint64_t ticks, Fill fill);
  /// The last claim's room; whoever committed another has nothing to commit.
  [[nodiscard]] const std::byte* claimed() const { return claimed_; }
  void forget_claim() { claimed_size_ = 0; }

  /// Behind the last committed record, in bytes since the lane was made.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t capacity() const { return capacity_; }

 private:
  friend class RingBatch;

  /// Where a frame goes: behind `skip` bytes of padding, if it would run past the ring's end.
  struct Place {
    std::size_t start;  // offset of the padding, or of the frame where there is none
    std::size_t skip;
    std::uint64_t end;  // the position behind the frame

    [[nodiscard]] std::size_t frame() const { return skip == 0 ? start : 0; }
  };

  [[nodiscard]] static Word& word_of(std::byte* frame) { return *reinterpret_cast<Word*>(frame); }
  [[nodiscard]] Word& word_at(std::size_t offset) const { return word_of(data_ + offset); }
  [[nodiscard]] std::size_t offset_of(std::uint64_t position) const {
    return static_cast<std::size_t>(position & (capacity_ - 1));
  }
  /// Bytes that padding must close before a frame of this size at this offset; 0: it fits there.
  [[nodiscard]] std::size_t skip_before(std::size_t frame, std::size_t offset) const {
    const std::size_t to_end = static_cast<std::size_t>(capacity_) - offset;
    return frame <= to_end ? 0 : to_end;
  }
  [[nodiscard]] bool find_room(std::size_t size, Place& place);
  [[nodiscard]] bool fits(std::uint64_t end);
  [[nodiscard]] bool fits_what_was_seen(std::uint64_t end) const {
    return end + core::kFrameHeaderBytes - consumed_seen_ <= capacity_;
  }
  void prefetch_behind(std::uint64_t end, std::size_t frame) const;
  static void write_header_rest(std::byte* frame, std::uint64_t ticks);
  static void publish(std::byte* data, std::size_t mask, const Place& place, std::size_t size,
                      std::uint64_t ticks);

  std::byte* data_ = nullptr;
  std::uint64_t position_ = 0;
  std::uint64_t consumed_seen_ = 0;
  std::uint64_t capacity_ = 0;
  std::byte* claimed_ = nullptr;
  std::size_t claimed_size_ = 0;  // 0: no claim
  std::size_t claimed_skip_ = 0;
  const Position* consumed_ = nullptr;
};

/// Several records that the drain sees all at once: one release store, one terminator. A batch that
/// is not published leaves nothing. One at a time for a writer, and no claim of the writer's own
/// meanwhile.
class RingBatch {
 public:
  explicit RingBatch(RingWriter& ring) : ring_(ring), end_(ring.position_) { ring.forget_claim(); }

  /// As RingWriter::claim. The claim becomes the batch's next record with `add`.
  [[nodiscard]] std::byte* claim(std::size_t size);
  /// The last claim, whole, is the batch's next record.
  void add(std::uint64_t ticks);
  void publish();

 private:
  RingWriter& ring_;
  std::uint64_t end_;             // behind the last added record
  std::size_t claimed_size_ = 0;  // 0: no claim
  std::size_t claimed_skip_ = 0;
  // The word that stays zero until all the others stand.
  std::size_t first_offset_ = 0;
  std::uint32_t first_word_ = core::kCommitNothing;  // nothing: the batch is empty
};

/// The lines that a frame some way behind `end` will need come over from the drain's core while this
/// one is written: on far cores that is most of what a small record costs. A large frame waits for
/// its own lines whatever comes behind, and only the drain would have to wait with it.
inline void RingWriter::prefetch_behind(std::uint64_t end, std::size_t frame) const {
  constexpr std::uint64_t kAheadBytes = 256;
  constexpr std::size_t kFrameBytesMax = 320;
  constexpr std::size_t kLineBytes = 64;
  if (frame >= kFrameBytesMax) return;
  for (std::size_t at = 0; at < frame; at += kLineBytes) {
    core::prefetch_for_store(data_ + offset_of(end + kAheadBytes + at));
  }
}

inline bool RingWriter::fits(std::uint64_t end) {
  if (fits_what_was_seen(end)) [[likely]]
    return true;
  // SYNC consumed: pairs with the release store in RingReader::consume; what lies before it may be
  // written over.
  consumed_seen_ = consumed_->load(std::memory_order_acquire);
  return fits_what_was_seen(end);
}

/// Everything of a header but its commit word. Plain stores: the drain reads them only behind that
/// word. Flags and reserved are 0 in version 1.
inline void RingWriter::write_header_rest(std::byte* frame, std::uint64_t ticks) {
  core::store_plain(frame + 4, std::uint32_t{0});
  core::store_plain(frame + 8, ticks);
}

inline bool RingWriter::find_room(std::size_t size, Place& place) {
  const auto frame = static_cast<std::size_t>(core::frame_bytes(size));
  place.start = offset_of(position_);
  place.skip = skip_before(frame, place.start);
  place.end = position_ + place.skip + frame;
  claimed_size_ = 0;
  if (!fits(place.end)) [[unlikely]]
    return false;
  prefetch_behind(place.end, frame);
  return true;
}

inline std::byte* RingWriter::claim(std::size_t size) {
  Place place;
  if (!find_room(size, place)) [[unlikely]]
    return nullptr;
  claimed_size_ = size;
  claimed_skip_ = place.skip;
  claimed_ = data_ + place.frame() + core::kFrameHeaderBytes;
  return claimed_;
}

/// The ring's place in memory comes as values: through `this` they would be read again behind each
/// store of bytes.
inline void RingWriter::publish(std::byte* data, std::size_t mask, const Place& place,
                                std::size_t size, std::uint64_t ticks) {
  std::byte* const frame = data + place.frame();
  write_header_rest(frame, ticks);
  SPILLWAY_STEP("ring.header_written");
  // The terminator comes before the publication (rule 2), at the committed end.
  word_of(data + (static_cast<std::size_t>(place.end) & mask))
      .store(core::kCommitNothing, std::memory_order_relaxed);
  SPILLWAY_STEP("ring.terminated");
  const auto word = static_cast<std::uint32_t>(size + 1);
  if (place.skip == 0) [[likely]] {
    // SYNC published: pairs with the acquire load of each commit word in RingReader.
    word_of(frame).store(word, std::memory_order_release);
    SPILLWAY_STEP("ring.published");
  } else {
    // Rule 3: the padding's word publishes the record behind it, too.
    word_of(frame).store(word, std::memory_order_relaxed);
    SPILLWAY_STEP("ring.hidden");
    // SYNC published: as above.
    word_of(data + place.start).store(core::kCommitPadding, std::memory_order_release);
    SPILLWAY_STEP("ring.padded");
  }
}

inline bool RingWriter::commit(std::size_t size, std::uint64_t ticks) {
  // One comparison for 'no claim', 'empty' (0 - 1 wraps) and 'more than was claimed'.
  if (size - 1 >= claimed_size_) [[unlikely]]
    return false;
  const Place place{offset_of(position_), claimed_skip_,
                    position_ + claimed_skip_ + core::frame_bytes(size)};
  publish(data_, static_cast<std::size_t>(capacity_) - 1, place, size, ticks);
  position_ = place.end;
  claimed_size_ = 0;
  return true;
}

template <typename Fill>
inline bool RingWriter::put(std::size_t size, std::uint64_t ticks, Fill fill) {
  Place place;
  if (!find_room(size, place)) [[unlikely]]
    return false;
  std::byte* const data = data_;
  const std::size_t mask = static_cast<std::size_t>(capacity_) - 1;
  fill(data + place.frame() + core::kFrameHeaderBytes);
  publish(data, mask, place, size, ticks);
  position_ = place.end;
  return true;
}

inline std::byte* RingBatch::claim(std::size_t size) {
  const auto frame = static_cast<std::size_t>(core::frame_bytes(size));
  const std::size_t offset = ring_.offset_of(end_);
  const std::size_t skip = ring_.skip_before(frame, offset);
  claimed_size_ = 0;
  if (!ring_.fits(end_ + skip + frame)) [[unlikely]]
    return nullptr;
  ring_.prefetch_behind(end_ + skip + frame, frame);
  claimed_size_ = size;
  claimed_skip_ = skip;
  return ring_.data_ + (skip == 0 ? offset : 0) + core::kFrameHeaderBytes;
}

inline void RingBatch::add(std::uint64_t ticks) {
  if (claimed_size_ == 0) [[unlikely]]
    return;
  const std::size_t start = ring_.offset_of(end_);
  const std::size_t offset = claimed_skip_ == 0 ? start : 0;
  const auto word = static_cast<std::uint32_t>(claimed_size_ + 1);
  const bool first = first_word_ == core::kCommitNothing;
  ring_.write_header_rest(ring_.data_ + offset, ticks);
  SPILLWAY_STEP("batch.header_written");
  if (first) {
    first_offset_ = start;
    first_word_ = claimed_skip_ == 0 ? word : core::kCommitPadding;
  } else if (claimed_skip_ != 0) {
    ring_.word_at(start).store(core::kCommitPadding, std::memory_order_relaxed);
    SPILLWAY_STEP("batch.padding_hidden");
  }
  // Hidden until the first word is published, whatever the order in which these arrive.
  if (!first || claimed_skip_ != 0) {
    ring_.word_at(offset).store(word, std::memory_order_relaxed);
    SPILLWAY_STEP("batch.word_hidden");
  }
  end_ += claimed_skip_ + core::frame_bytes(claimed_size_);
  claimed_size_ = 0;
}

inline void RingBatch::publish() {
  if (first_word_ == core::kCommitNothing) return;
  ring_.word_at(ring_.offset_of(end_)).store(core::kCommitNothing, std::memory_order_relaxed);
  SPILLWAY_STEP("batch.terminated");
  // SYNC published: as in RingWriter::commit; this one store shows the whole batch.
  ring_.word_at(first_offset_).store(first_word_, std::memory_order_release);
  SPILLWAY_STEP("batch.published");
  ring_.position_ = end_;
  first_word_ = core::kCommitNothing;
}

}  // namespace spillway::shm
