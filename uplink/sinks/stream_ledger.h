// StreamLedger: what of a stream was handed to an engine, in order, and how far from the front all of
// it is done: so far the cursor may move.
//
// Pure; one thread. Tickets are ascending.
//
// Invariants:
//  1. advance() never passes an entry that is not settled.
//  2. An entry is settled once; what comes twice changes nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "spillway/core/cursor.h"

namespace spillway::uplink {

class StreamLedger {
 public:
  /// Some records that end at a position.
  struct Part {
    core::CursorPosition behind;
    std::uint64_t records = 0;
  };

  /// `behind`: where the cursor may stand once this is done; nothing for what moves nothing. `records`:
  /// how many of them end there.
  void add(std::uint64_t ticket, const std::optional<core::CursorPosition>& behind,
           std::uint64_t records) {
    entries_.push_back({ticket, behind, records, false});
  }
  void settle(std::uint64_t ticket) {
    if (Entry* entry = find(ticket)) entry->settled = true;
  }
  /// Nothing: it was forgotten, or moves nothing.
  [[nodiscard]] std::optional<Part> part(std::uint64_t ticket) {
    const Entry* entry = find(ticket);
    if (entry == nullptr || !entry->behind) return std::nullopt;
    return Part{*entry->behind, entry->records};
  }
  /// Forgets what is settled from the front on; where the cursor may stand then, if that is news.
  [[nodiscard]] std::optional<core::CursorPosition> advance() {
    std::optional<core::CursorPosition> position;
    while (!entries_.empty() && entries_.front().settled) {
      if (entries_.front().behind) position = entries_.front().behind;
      entries_.pop_front();
    }
    return position;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::uint64_t ticket = 0;
    std::optional<core::CursorPosition> behind;
    std::uint64_t records = 0;
    bool settled = false;
  };

  [[nodiscard]] Entry* find(std::uint64_t ticket) {
    const auto found = std::lower_bound(
        entries_.begin(), entries_.end(), ticket,
        [](const Entry& entry, std::uint64_t wanted) { return entry.ticket < wanted; });
    return found == entries_.end() || found->ticket != ticket ? nullptr : &*found;
  }

  std::deque<Entry> entries_;
};

}  // namespace spillway::uplink
