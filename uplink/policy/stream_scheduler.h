// StreamScheduler: whose turn it is to send, of the streams of one session.
//
// A stream is *live* while it keeps up: each time it turns out to have nothing left it may send
// live_bytes before it counts as *backlog*. So nothing has to be known of a stream's end, and a stream
// that gets more than its link can carry is a backlog, whatever it calls itself.
//
//          found empty                       live_bytes were sent
//   backlog -----------> live (credit = live_bytes) -----------> backlog
//
// Pure; one thread. Bytes are those of messages.
//
// Invariants:
//  1. What is live goes before every backlog: no stream's live data waits behind another's backlog,
//     but for the messages of invariant 3.
//  2. Within live, and within backlog, the higher priority goes first; equal ones share by weight, in
//     bytes, and are never further apart than one message each.
//  3. None starves: while others send, each stream is owed its weight's part of a tenth of their
//     bytes; once that makes a message, it goes before everything else.
//  4. A stream that was idle has saved up nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace spillway::uplink {

struct StreamShare {
  std::int64_t priority = 0;
  std::uint64_t weight = 1;
};

/// What may be sent now: with a full window only live data may.
enum class Admission : std::uint8_t { kAll, kLiveOnly };

class StreamScheduler {
 public:
  /// Of all bytes, this part is kept for those that would get nothing.
  static constexpr std::uint64_t kGuaranteedPart = 10;

  explicit StreamScheduler(std::vector<StreamShare> shares);

  /// What a stream may send as live data after it was found empty; also the size of a message that
  /// is owed.
  void set_live_bytes(std::uint64_t bytes) {
    live_bytes_ = bytes;
    in_order_ = false;
  }
  /// A new look at all streams: of n that are empty it takes n log n steps.
  void begin();
  /// Whom to ask next; nothing if all that may send were asked. Answer with sent() or found_empty().
  [[nodiscard]] std::optional<std::size_t> next(Admission admission);
  void sent(std::size_t stream, std::uint64_t bytes);
  void found_empty(std::size_t stream);

  [[nodiscard]] bool is_live(std::size_t stream) const { return turns_[stream].live_credit != 0; }

 private:
  struct Turn {
    StreamShare share;
    std::uint64_t served = 0;       // kWeightScale * bytes / weight
    std::uint64_t live_credit = 0;  // bytes
    std::uint64_t owed = 0;         // bytes, times the sum of all weights and kGuaranteedPart
    bool waiting = true;            // not known to be empty
    bool asked = false;             // in this look
  };

  [[nodiscard]] bool is_owed(const Turn& turn) const;
  [[nodiscard]] bool goes_before(const Turn& one, const Turn& other) const;
  [[nodiscard]] bool goes_behind(std::size_t one, std::size_t other) const;
  void catch_up(Turn& turn) const;
  void put_in_order();

  std::vector<Turn> turns_;
  /// Those that were not asked, as a heap: its front is next. The order changes with what is sent.
  std::vector<std::size_t> order_;
  bool in_order_ = false;
  std::uint64_t weights_ = 0;
  std::uint64_t live_bytes_;
};

}  // namespace spillway::uplink
