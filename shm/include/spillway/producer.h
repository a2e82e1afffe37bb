// Producer: put records into a Spillway queue from C++. Depends on libc alone; no exceptions, no
// allocation after open.
//
//   spillway::Producer producer;
//   if (producer.open(nullptr, "sensor/boiler/temperature") != spillway::Status::kOk)
//   puts(spillway::error_detail()); if (auto claim = producer.claim(64)) { fill(claim.data());
//   producer.commit(claim, 64); }
//
// One thread at a time; open one for each thread and topic. (The C ABI in spillway.h is the same
// thing.) claim, commit and put are wait-free and make no system call, but for one FUTEX_WAKE while
// the agent sleeps on its doorbell.
//
// Invariants (the numbers of the lane's rules are those of docs/format.md):
//  1. The word at `position_` is zero in the ring until a commit publishes it (rule 1, kept by rule
//     2's terminator).
//  2. A claim fits only if position + skip to the ring's end + frame + one free frame header -
//     consumed <= capacity.
//  3. Nothing of a claim is visible before commit's one release store; a claim that is not
//     committed leaves nothing, and a producer killed at any instruction leaves nothing visible and
//     nothing stuck.
//  4. consumed_seen_ never runs ahead of the agent's word, so a stale value can only refuse too
//     early, and is then renewed.
//  5. record_max_ is 0 if and only if nothing can be put (not open, closed, or a forked child):
//     claim refuses first of all.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "spillway/core/atomic.h"
#include "spillway/fence.h"
#include "spillway/status.h"
#include "spillway/ticks.h"

namespace spillway {

namespace shm {
struct LaneMapping;
class ForkGuard;
}  // namespace shm

struct ProducerOptions {
  const char* producer_name = nullptr;  // up to 63 bytes of UTF-8; null: the program's name
  std::uint64_t lane_bytes = 0;         // a power of two, 16 KiB .. 64 MiB; 0: 256 KiB
  std::uint32_t max_record_bytes =
      0;  // at most lane_bytes / 2 - 32; 0: 64 KiB, or what the lane takes
  std::uint64_t schema_fingerprint = 0;  // 0: unknown
};

/// Room for one record, 16-byte aligned. Good until the producer's next claim, put, commit or
/// close.
class Claim {
 public:
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
  /// kOk, or why there is no room.
  [[nodiscard]] Status status() const { return status_; }
  explicit operator bool() const { return status_ == Status::kOk; }

 private:
  friend class Producer;
  Claim(std::byte* data, std::size_t size) : data_(data), size_(size), status_(Status::kOk) {}
  explicit Claim(Status status) : status_(status) {}

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Status status_;
};

class __attribute__((visibility("default"))) Producer {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  Producer() = default;
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;
  ~Producer() { close(); }

  /// Makes a lane. queue_dir null: $SPILLWAY_QUEUE_DIR, else /run/spillway, else
  /// $XDG_RUNTIME_DIR/spillway. Works before the agent has started. The first open of a process
  /// takes about 10 ms where it has to measure the counter's rate. kInvalid, kNoQueue, kPermission,
  /// kNoSpace, kNewerVersion, kSystem; error_detail() says more.
  [[nodiscard]] Status open(const char* queue_dir, const char* topic,
                            const ProducerOptions& options = {});
  [[nodiscard]] bool is_open() const { return record_max_ != 0; }
  /// What was committed stays for the agent. Calling it twice, or not at all, is fine.
  void close();

  /// Room for a record of 1 .. max_record_bytes bytes, or kFull, kTooLarge, kInvalid, kClosed at
  /// once. Refusals for size or room are counted.
  [[nodiscard]] Claim claim(std::size_t size);
  /// Publishes the first `size` bytes of the claim as one record. kInvalid for a claim that is not
  /// this producer's last one, or a size of 0 or beyond the claim: then nothing is published.
  Status commit(const Claim& claim, std::size_t size);
  /// The same for the last claim, whatever became of the object.
  Status commit_last(std::size_t size);
  /// Copies a record in: accepted when kOk.
  [[nodiscard]] Status put(std::span<const std::byte> record);

  /// claim(), waiting for room until the deadline (kTimeout) or until the lane is set aside
  /// (kSetAside).
  [[nodiscard]] Claim claim_until(std::size_t size, TimePoint deadline);
  /// Waits until everything committed so far has reached `level`. A deadline in the past only asks.
  [[nodiscard]] Status flush_until(TimePoint deadline, Level level);

  /// Records refused so far: the lane was full, or the record too large.
  [[nodiscard]] std::uint64_t rejected() const { return rejected_; }
  /// Position behind the last committed record, in bytes since the lane was made.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t record_bytes_max() const { return record_max_; }
  /// The id in the lane's identity; unique in the queue.
  [[nodiscard]] std::uint64_t lane_id() const { return lane_id_; }

 private:
  friend class shm::ForkGuard;
  using Word = core::Atomic<std::uint32_t>;

  static constexpr std::size_t kHeaderBytes = 16;
  static constexpr std::size_t kAlignment = 16;
  static constexpr std::uint32_t kPadding = 0xFFFF'FFFF;

  [[nodiscard]] static constexpr std::size_t frame_of(std::size_t record) {
    return (record + kHeaderBytes + kAlignment - 1) & ~(kAlignment - 1);
  }
  [[nodiscard]] Word& word_at(std::size_t offset) const {
    return *reinterpret_cast<Word*>(ring_ + offset);
  }
  [[nodiscard]] std::size_t offset_of(std::uint64_t position) const {
    return static_cast<std::size_t>(position & (capacity_ - 1));
  }
  [[nodiscard]] bool fits(std::uint64_t bytes) const {
    return position_ + bytes + kHeaderBytes - consumed_seen_ <= capacity_;
  }

  [[nodiscard]] Claim try_claim(std::size_t size);
  [[nodiscard]] bool fits_now(std::uint64_t bytes);
  [[nodiscard]] Status refusal_of(std::size_t size) const;
  Claim refuse(Status status);
  void ring_bell();
  void attach_bell();
  void wait_for_agent(std::uint32_t event, TimePoint deadline);
  void forget();

  // What the hot path reads comes first: two cache lines.
  std::byte* ring_ = nullptr;  // the lane's data
  std::uint64_t position_ = 0;
  std::uint64_t consumed_seen_ = 0;
  std::uint64_t capacity_ = 0;
  std::size_t record_max_ = 0;
  std::byte* claimed_ = nullptr;  // the last claim's room
  std::size_t claimed_size_ = 0;  // 0: no claim
  std::size_t claimed_skip_ = 0;  // bytes that its padding closes; 0: none
  const Word* armed_ = nullptr;   // the doorbell's word, or a word that stays 0
  TickClock tick_clock_ = TickClock::kMonotonicCoarse;
  bool fencing_ = false;

  std::uint64_t rejected_ = 0;
  std::uint64_t lane_id_ = 0;
  shm::LaneMapping* lane_ = nullptr;    // page 0 of the mapping
  const std::byte* bell_ = nullptr;     // the control page; null: not there yet
  int fd_ = -1;                         // holds the lane's lock
  int queue_fd_ = -1;                   // the queue directory, to find the control page later
  std::uint32_t rung_agent_ = 0;        // the agent that the next two speak of
  std::uint32_t unanswered_rings_ = 0;  // in a row
  std::uint32_t rings_to_skip_ = 0;
  Producer* next_ = nullptr;  // the fork guard's list
  Producer* previous_ = nullptr;
};

inline Claim Producer::try_claim(std::size_t size) {
  const std::size_t frame = frame_of(size);
  const std::size_t offset = offset_of(position_);
  const std::size_t to_end = static_cast<std::size_t>(capacity_) - offset;
  const std::size_t skip = frame <= to_end ? 0 : to_end;
  if (!fits(skip + frame)) [[unlikely]] {
    if (!fits_now(skip + frame)) return Claim(Status::kFull);
  }
  claimed_size_ = size;
  claimed_skip_ = skip;
  claimed_ = ring_ + (skip == 0 ? offset : 0) + kHeaderBytes;
  return {claimed_, size};
}

inline Claim Producer::claim(std::size_t size) {
  // One comparison for 'not open', 'empty' (0 - 1 wraps) and 'too large'.
  if (size - 1 >= record_max_) [[unlikely]]
    return refuse(refusal_of(size));
  const Claim claim = try_claim(size);
  if (!claim) [[unlikely]]
    return refuse(Status::kFull);
  return claim;
}

inline Status Producer::commit(const Claim& claim, std::size_t size) {
  if (claim.data_ != claimed_) [[unlikely]]
    return record_max_ == 0 ? Status::kClosed : Status::kInvalid;
  return commit_last(size);
}

inline Status Producer::commit_last(std::size_t size) {
  // One comparison for 'no claim', 'empty' (0 - 1 wraps) and 'more than was claimed'.
  if (size - 1 >= claimed_size_) [[unlikely]]
    return record_max_ == 0 ? Status::kClosed : Status::kInvalid;
  const auto offset = static_cast<std::size_t>(claimed_ - ring_) - kHeaderBytes;
  const std::size_t end = offset + frame_of(size);
  // Flags and reserved are 0 in version 1. Plain stores: the drain reads them only behind the
  // commit word.
  std::memset(ring_ + offset + 4, 0, 4);
  const std::uint64_t ticks = read_tick_clock(tick_clock_);
  std::memcpy(ring_ + offset + 8, &ticks, sizeof ticks);
  // The terminator comes before the publication (rule 2), at the committed end.
  word_at(end & (static_cast<std::size_t>(capacity_) - 1)).store(0, std::memory_order_relaxed);
  const auto word = static_cast<std::uint32_t>(size + 1);
  if (claimed_skip_ == 0) [[likely]] {
    // SYNC published: pairs with the acquire load of each commit word in LaneReader::walk.
    word_at(offset).store(word, std::memory_order_release);
  } else {
    // Rule 3: the padding's word publishes the record behind it, too.
    word_at(offset).store(word, std::memory_order_relaxed);
    // SYNC published: as above.
    word_at(offset_of(position_)).store(kPadding, std::memory_order_release);
  }
  position_ += claimed_skip_ + (end - offset);
  claimed_size_ = 0;
  // SYNC doorbell: the agent stores `armed`, then its membarrier stands in for the fence that is
  // missing here; the signal fence keeps the compiler from moving the load up. A lane that marked
  // itself as fencing pays for a real one.
  if (fencing_) [[unlikely]]
    full_fence();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (armed_->load(std::memory_order_relaxed) != 0) [[unlikely]]
    ring_bell();
  return Status::kOk;
}

inline Status Producer::put(std::span<const std::byte> record) {
  const Claim room = claim(record.size());
  if (!room) [[unlikely]]
    return room.status();
  std::memcpy(room.data(), record.data(), record.size());
  return commit(room, record.size());
}

}  // namespace spillway
