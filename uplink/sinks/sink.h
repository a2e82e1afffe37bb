// Sink: the uplink's driver for one kind of engine at the far end. It moves messages and says what
// became of each; everything that decides (what comes next, what is repeated, dead letters, cursors,
// pauses) is SinkSession's.
//
// One thread calls it. A sink may have threads of its library's own, which no caller sees.
//
// Invariants:
//  1. Each ticket that offer() took gets exactly one outcome, or the sink fails as a whole.
//  2. kStored means: the engine has made it as durable as it was set up to, and has said so.
//  3. kRefused is the engine's verdict on this one message. Anything else that is wrong (no link, no
//     room, no right, no such topic) is an error of the sink: nobody's record failed.
//  4. Messages of one key (SinkMessage::key) reach the engine in the order of their tickets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"
#include "uplink/protocol/envelope.h"
#include "uplink/session/block_source.h"

namespace spillway::uplink {

struct SinkMessage {
  std::uint64_t ticket = 0;  // ascending
  const Envelope* envelope = nullptr;
  std::string_view key;                // <gateway name or id>/<topic>: what keeps its order
  std::span<const std::byte> payload;  // good until offer() returns
  std::string_view content_type;       // of the payload
};

struct SinkOutcome {
  enum class Kind : std::uint8_t { kStored, kRefused };
  std::uint64_t ticket = 0;
  Kind kind = Kind::kStored;
  std::string reason;  // why it was refused
};

enum class Offered : std::uint8_t {
  kTaken,
  kFull,  // as many are on their way as may be: collect() first
};

class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  /// Whose records they are, before each connect(): for an engine that knows its writers.
  virtual void introduce(const Origin& gateway) { static_cast<void>(gateway); }
  /// Connects and looks whether what the engine needs is there; at most about `timeout_ns`. Errors say
  /// what to do, and kNotFound also that `spillway sink setup` makes what is missing.
  [[nodiscard]] virtual core::Result<void> connect(std::uint64_t timeout_ns) = 0;
  /// An error: the connection is gone, and with it all outcomes that are owed.
  [[nodiscard]] virtual core::Result<Offered> offer(const SinkMessage& message) = 0;
  /// Appends the outcomes that are known, waiting up to `wait_ns` for the first.
  [[nodiscard]] virtual core::Result<void> collect(std::uint64_t wait_ns,
                                                   std::vector<SinkOutcome>& outcomes) = 0;
  /// Why the engine takes nothing for now, though the connection stands; empty: it does.
  [[nodiscard]] virtual std::string_view hindrance() const { return {}; }
  /// Ends the connection; what is owed is forgotten. May be followed by connect().
  virtual void disconnect() = 0;
};

}  // namespace spillway::uplink
