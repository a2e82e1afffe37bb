// ConfirmLedger: which published messages a RabbitMQ has not yet answered for, and what its answers
// mean.
//
// The broker numbers what is published on a channel from 1 and confirms by that number, one by one or
// all up to one (`multiple`), in any order. What it could route nowhere it returns first, by itself,
// and confirms then.
//
// Pure; one thread. Nothing here trusts the broker's numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "uplink/sinks/sink.h"

namespace spillway::uplink {

class ConfirmLedger {
 public:
  /// The next message's number is one higher than the last's.
  void published(std::uint64_t ticket, std::string_view message_id, std::uint64_t bytes);
  /// The message of this id came back: it counts as refused once it is confirmed.
  void returned(std::string_view message_id, std::string reason);
  /// kProtocol: the broker confirmed what was never published.
  [[nodiscard]] core::Result<void> confirmed(std::uint64_t number, bool multiple,
                                             std::vector<SinkOutcome>& outcomes);

  /// Not yet confirmed.
  [[nodiscard]] std::size_t open() const { return open_; }
  /// The smallest message that is open and larger than `bytes`; 0: none is.
  [[nodiscard]] std::uint64_t smallest_above(std::uint64_t bytes) const;
  void clear();

 private:
  struct Message {
    std::uint64_t ticket = 0;
    std::uint64_t id_hash = 0;
    std::uint64_t bytes = 0;
    bool done = false;
    bool returned = false;
    std::string reason;
  };
  void settle(Message& message, std::vector<SinkOutcome>& outcomes);

  std::deque<Message> messages_;
  std::uint64_t first_ = 1;  // the number of the front
  std::size_t open_ = 0;
};

}  // namespace spillway::uplink
