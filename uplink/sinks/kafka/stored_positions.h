// StoredPositions: how far each stream has come in Kafka, as text that goes with each transaction into
// the offset of a consumer group: what makes a restarted sink know what the partitions already hold.
//
// One thread, no I/O.
//
// Invariants:
//  1. A position is its journal's: another journal of the same stream has none of it.
//  2. Positions never go back, and text() always fits what a broker keeps beside an offset
//     (offset.metadata.max.bytes, 4096): the streams that were used last stay, up to kStreamsMax.
//  3. Text that is not ours, or a later version's, says nothing: no positions.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "uplink/protocol/envelope.h"

namespace spillway::uplink::kafka {

class StoredPositions {
 public:
  static constexpr std::size_t kStreamsMax = 96;
  static constexpr std::size_t kTextBytesMax = 4096;

  StoredPositions() = default;
  explicit StoredPositions(std::string_view text);

  /// 16 hexadecimal digits for the stream's journal.
  [[nodiscard]] static std::uint64_t key_of(const Envelope& envelope);
  /// Below this all is stored; 0: nothing is known.
  [[nodiscard]] std::uint64_t find(std::uint64_t key) const;
  void advance(std::uint64_t key, std::uint64_t next_offset);
  [[nodiscard]] std::string text() const;
  /// The highest of all: the offset that a person sees of the group.
  [[nodiscard]] std::uint64_t highest() const;

 private:
  struct Position {
    std::uint64_t key;
    std::uint64_t next_offset;
  };

  std::list<Position> positions_;  // the one that was used last is the first
  std::unordered_map<std::uint64_t, std::list<Position>::iterator> by_key_;
};

}  // namespace spillway::uplink::kafka
