// Oracle: what each record of a scenario looks like, and what the spill must hold. It knows frames,
// as a reader of the spill does, and nothing of rings.
//
// Inside of Machine::take; its durable words are in the state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/model/machine.h"
#include "tests/model/scenario.h"

namespace spillway::model {

class Oracle {
 public:
  explicit Oracle(const Scenario& scenario);

  // ---- for the producer ----
  [[nodiscard]] static std::uint64_t ticks_of(std::uint64_t record) {
    return 0x1122'3344'5566'7700 + record;
  }
  /// A commit of all records below `end` begins: from here on the drain may find them.
  void offer(std::uint64_t end) const;
  /// Plain stores of what looks like commit words.
  void scribble(std::byte* room, std::size_t bytes) const;
  void write(std::byte* room, std::uint64_t record) const;

  // ---- for the agent ----
  /// Copies the frames out, word by word, and looks whether they are the next records, whole.
  void spill(const std::byte* frames, std::size_t bytes, std::uint64_t lane_end) const;
  [[nodiscard]] std::uint64_t spilled_end() const;
  /// The lane's producer is gone and the lane empty: nothing that was acknowledged may be missing.
  void check_end(std::uint64_t acknowledged) const;

  void fill_with_old_bytes(Memory& memory) const;

 private:
  enum Durable : std::uint8_t { kSpilledRecords, kSpilledEnd, kOffered };

  [[nodiscard]] static std::uint64_t& durable(Durable which);
  [[nodiscard]] std::byte byte_of(std::uint64_t record, std::size_t at) const;
  /// Bytes of the frame that must hold this record.
  std::size_t check_frame(const std::vector<std::byte>& frames, std::size_t at,
                          std::uint64_t record) const;

  std::size_t capacity_;
  std::vector<unsigned> sizes_;
};

}  // namespace spillway::model
