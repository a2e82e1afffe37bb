// DeadLetters: the records that a far end refused for good, kept beside the cursor for a person to
// look at; the file `cursors/<uplink>.dead` of a stream.
//
// A sink appends (the uplink's thread), `spillway dead` lists and takes out while the uplink runs.
// Each call opens the file anew and, where it writes, holds the lock `cursors/<uplink>.dead.lock`
// meanwhile, so that both may write; a lock is waited for kLockWaitMs at most.
//
// Invariants:
//  1. What append() returned for is power-safe: a cursor may pass it. A record that is in the file
//     already is not written again, so a sink that was cut off may append it once more.
//  2. The file is no larger than kFileBytesMax. When it is full append() says kFull and has written
//     nothing: nothing is pushed out that a person has not seen. The sink must wait; its stream stands
//     still, and goes on once there is room.
//  3. Letters keep their number for good; none is given twice.
//  4. Damage costs the letters that it hit, and no other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"

namespace spillway::core {

struct DeadLetter {
  std::uint64_t number = 0;  // given by append(), from 1
  Uuid journal;
  std::uint64_t offset = 0;
  std::uint64_t refused_utc_ns = 0;
  std::uint64_t schema_fingerprint = 0;  // 0: the producer named none
  std::string topic;
  std::string reason;
  std::uint64_t record_bytes = 0;  // the record's size; payload is shorter where it was cut
  std::vector<std::byte> payload;

  [[nodiscard]] bool whole() const { return payload.size() == record_bytes; }
};

class DeadLetters {
 public:
  static constexpr std::uint64_t kFileBytesMax = 8ULL << 20;
  /// A longer record is cut to this, and can then only be looked at and dropped.
  static constexpr std::size_t kPayloadBytesMax = 1U << 20;
  static constexpr std::size_t kReasonBytesMax = 500;
  static constexpr std::size_t kTopicBytesMax = 255;
  static constexpr int kLockWaitMs = 2000;

  struct Contents {
    std::vector<DeadLetter> letters;  // ascending by number
    std::uint64_t file_bytes = 0;     // in use, of kFileBytesMax
    std::uint64_t taken_out = 0;      // dropped or requeued so far
    std::uint64_t damaged_pages = 0;  // between letters: what stood there cannot be read
  };

  /// `directory` is <spill_dir>/<stream>.
  DeadLetters(env::Env& env, const std::string& directory, const std::string& uplink,
              int lock_wait_ms = kLockWaitMs);

  /// Who refused what, and why. Gives the numbers; what is too long is cut. Returns how many were
  /// new. kFull: see invariant 2. kBusy: somebody held the lock for too long.
  [[nodiscard]] Result<std::uint64_t> append(std::span<const DeadLetter> letters);
  /// All of them; an absent file is an empty one. kNewerVersion.
  [[nodiscard]] Result<Contents> load() const;
  /// Takes out those with these numbers; returns how many there were. Power-safe when it returns.
  [[nodiscard]] Result<std::uint64_t> drop(std::span<const std::uint64_t> numbers);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] Result<std::unique_ptr<env::File>> lock();

  env::Env& env_;
  std::string path_;
  int lock_wait_ms_;
};

}  // namespace spillway::core
