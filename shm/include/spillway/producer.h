// Producer: put records into a Spillway queue from C++. Depends on libc alone; no exceptions, no
// allocation after open.
//
//   spillway::Producer producer;
//   if (producer.open(nullptr, "sensor/boiler/temperature") != spillway::Status::kOk)
//   puts(spillway::error_detail()); if (auto claim = producer.claim(64)) { fill(claim.data());
//   producer.commit(claim, 64); }
//
// One thread at a time; open one for each thread and topic. (The C ABI in spillway.h is the same
// thing.) claim, commit and put are wait-free and make no system call, but for one while the agent
// sleeps on its doorbell.
//
// The ring itself, with its invariants, is RingWriter. Here stands one more: record_max_ is 0 if and
// only if nothing can be put (not open, closed, or a forked child): claim refuses first of all.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "spillway/core/atomic.h"
#include "spillway/fence.h"
#include "spillway/shm/ring_writer.h"
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
  std::uint64_t schema_fingerprint = 0;  // 0: that of `schema`, or unknown
  /// The records' FlatBuffers binary schema (flatc -b --schema), at most 64 KiB, so that the spill and
  /// the far end can explain them; empty: none. Read during open alone.
  std::span<const std::byte> schema = {};
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

  /// A refusal.
  explicit Claim(Status status) : status_(status) {}

 private:
  friend class Producer;
  Claim(std::byte* data, std::size_t size) : data_(data), size_(size), status_(Status::kOk) {}

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Status status_;
};

/// What became of several records: the first so many went in; `status` says why the next did not.
struct Accepted {
  std::size_t records = 0;
  Status status = Status::kOk;
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
  /// The same for a record that is written in place: `fill(room)` writes all `size` bytes, 16-byte
  /// aligned, and does nothing else. It is not called when there is no room.
  template <typename Fill>
  [[nodiscard]] Status put_in_place(std::size_t size, Fill fill);
  /// Copies records in, in order, and shows them to the agent all at once, for about the cost of the
  /// copies. The first that is refused is counted; those behind it are not tried.
  [[nodiscard]] Accepted put_many(std::span<const std::span<const std::byte>> records);
  /// The same for `count` records of which `record_at(i)` gives the bytes.
  template <typename RecordAt>
  [[nodiscard]] Accepted put_many(std::size_t count, RecordAt record_at);

  /// claim(), waiting for room until the deadline (kTimeout) or until the lane is set aside
  /// (kSetAside).
  [[nodiscard]] Claim claim_until(std::size_t size, TimePoint deadline);
  /// Waits until everything committed so far has reached `level`. A deadline in the past only asks.
  /// kTooLarge, once: it has, but for records that were refused() since the last flush.
  [[nodiscard]] Status flush_until(TimePoint deadline, Level level);

  /// The level that everything committed so far has reached: after a flush_until that was late, too.
  [[nodiscard]] Level reached() const;
  /// Records that end at or below this position have reached `level`; 0 if the producer is not open.
  [[nodiscard]] std::uint64_t reached_position(Level level) const;

  /// Records refused so far: the lane was full, or the record too large.
  [[nodiscard]] std::uint64_t rejected() const { return rejected_; }
  /// Committed records that the agent has passed over, for they were larger than the segments of the
  /// stream take: raise segment_bytes.
  [[nodiscard]] std::uint64_t refused() const;
  /// Position behind the last committed record, in bytes since the lane was made.
  [[nodiscard]] std::uint64_t position() const { return ring_.position(); }
  [[nodiscard]] std::uint64_t capacity() const { return ring_.capacity(); }
  [[nodiscard]] std::size_t record_bytes_max() const { return record_max_; }
  /// The id in the lane's identity; unique in the queue.
  [[nodiscard]] std::uint64_t lane_id() const { return lane_id_; }

 private:
  friend class shm::ForkGuard;
  using Word = core::Atomic<std::uint32_t>;

  [[nodiscard]] Status refusal_of(std::size_t size) const;
  Claim refuse(Status status);
  void look_at_bell();
  void ring_bell(std::uint32_t arming);
  void attach_bell();
  void wait_for_agent(std::uint32_t event, TimePoint deadline);
  void forget();

  // What the hot path reads comes first: two cache lines.
  shm::RingWriter ring_;
  std::size_t record_max_ = 0;
  const Word* armed_ = nullptr;  // the doorbell's word, or a word that stays 0
  TickClock tick_clock_ = TickClock::kMonotonicCoarse;
  bool fencing_ = false;

  std::uint64_t rejected_ = 0;
  std::uint64_t lane_id_ = 0;
  shm::LaneMapping* lane_ = nullptr;  // page 0 of the mapping
  const std::byte* bell_ = nullptr;   // the control page; null: not there yet
  int fd_ = -1;                       // holds the lane's lock
  int queue_fd_ = -1;                 // the queue directory, to find the control page later
  std::uint32_t rung_ = 0;            // the last arming that was rung for
  std::uint64_t refused_told_ = 0;    // by the last flush
  Producer* next_ = nullptr;          // the fork guard's list
  Producer* previous_ = nullptr;
};

inline Claim Producer::claim(std::size_t size) {
  // One comparison for 'not open', 'empty' (0 - 1 wraps) and 'too large'.
  if (size - 1 >= record_max_) [[unlikely]]
    return refuse(refusal_of(size));
  std::byte* const room = ring_.claim(size);
  if (room == nullptr) [[unlikely]]
    return refuse(Status::kFull);
  return {room, size};
}

inline Status Producer::commit(const Claim& claim, std::size_t size) {
  if (claim.data_ != ring_.claimed()) [[unlikely]]
    return record_max_ == 0 ? Status::kClosed : Status::kInvalid;
  return commit_last(size);
}

inline Status Producer::commit_last(std::size_t size) {
  if (!ring_.commit(size, read_tick_clock(tick_clock_))) [[unlikely]]
    return record_max_ == 0 ? Status::kClosed : Status::kInvalid;
  look_at_bell();
  return Status::kOk;
}

inline void Producer::look_at_bell() {
  // SYNC doorbell: the agent stores `armed`, then its membarrier stands in for the fence that is
  // missing here; the signal fence keeps the compiler from moving the load up. A lane that marked
  // itself as fencing pays for a real one.
  if (fencing_) [[unlikely]]
    full_fence();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const std::uint32_t arming = armed_->load(std::memory_order_relaxed);
  if (arming != 0) [[unlikely]]
    ring_bell(arming);
}

inline Status Producer::put(std::span<const std::byte> record) {
  return put_in_place(record.size(), [record](std::byte* room) {
    std::memcpy(room, record.data(), record.size());
  });
}

template <typename Fill>
inline Status Producer::put_in_place(std::size_t size, Fill fill) {
  // One comparison, as in claim.
  if (size - 1 >= record_max_) [[unlikely]]
    return refuse(refusal_of(size)).status();
  if (!ring_.put(size, read_tick_clock(tick_clock_), fill)) [[unlikely]]
    return refuse(Status::kFull).status();
  look_at_bell();
  return Status::kOk;
}

inline Accepted Producer::put_many(std::span<const std::span<const std::byte>> records) {
  return put_many(records.size(), [records](std::size_t i) { return records[i]; });
}

template <typename RecordAt>
Accepted Producer::put_many(std::size_t count, RecordAt record_at) {
  shm::RingBatch batch(ring_);
  const std::uint64_t ticks = read_tick_clock(tick_clock_);
  Accepted accepted;
  while (accepted.records < count) {
    const std::span<const std::byte> record = record_at(accepted.records);
    const bool sized = record.size() - 1 < record_max_;
    std::byte* const room = sized ? batch.claim(record.size()) : nullptr;
    if (room == nullptr) [[unlikely]] {
      accepted.status = refuse(sized ? Status::kFull : refusal_of(record.size())).status();
      break;
    }
    std::memcpy(room, record.data(), record.size());
    batch.add(ticks);
    ++accepted.records;
  }
  if (accepted.records == 0) return accepted;
  batch.publish();
  look_at_bell();
  return accepted;
}

}  // namespace spillway
