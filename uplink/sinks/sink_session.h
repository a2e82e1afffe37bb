// SinkSession: one connection's life of an uplink to somebody else's engine: what is handed to the
// Sink, in which order, and how far each stream's cursor may move.
//
//   kNew --begin()--> kOpen --an error of the sink, of the spill, silence--> dropped by its owner
//
// After that a new session over the same sources begins at the cursors: what was handed over and is
// above them goes again. One thread; no socket, thread or clock of its own.
//
// Invariants:
//  1. A cursor moves only over what the engine has stored, and over what it refused once that is
//     power-safe in the dead-letter file and the engine was told so (a gap, `refused`).
//  2. A refused record stops nothing. One that cannot be kept (its file is full) stops its own
//     stream's cursor, and the stream once kTrackedMax messages are behind it; it is tried again
//     each kRetryNs.
//  3. On their way are at most window_bytes and window_messages, but one message always may be; a
//     part of both is kept for live data.
//  4. Streams take turns as StreamScheduler has it.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/engine_config.h"
#include "uplink/policy/stream_scheduler.h"
#include "uplink/sinks/payload_maker.h"
#include "uplink/sinks/sink.h"
#include "uplink/sinks/stream_ledger.h"
#include "uplink/sinks/stream_unpacker.h"

namespace spillway::uplink {

struct SinkSessionOptions {
  Origin gateway;
  core::EnginePayload payload = core::EnginePayload::kRaw;
  std::uint64_t window_bytes = 4ULL << 20;
  std::uint64_t window_messages = 4096;
  std::vector<StreamShare> shares{};  // of the sources; those without one get the usual one
  std::uint64_t answer_timeout_ns =
      300'000'000'000;  // something is on its way and nothing comes back
};

class SinkSession {
 public:
  static constexpr std::size_t kTrackedMax = 65'536;
  static constexpr std::uint64_t kRetryNs = 1'000'000'000;
  static constexpr std::uint64_t kUnbounded = std::numeric_limits<std::uint64_t>::max();

  SinkSession(SinkSessionOptions options, std::span<BlockSource* const> sources, Sink& sink);

  /// The sink is connected: every stream goes to its cursor.
  [[nodiscard]] core::Result<void> begin(std::uint64_t now_ns);
  /// Hands over what there is and what has room, about `bytes_max` at most; how many bytes it was.
  [[nodiscard]] core::Result<std::uint64_t> pump(std::uint64_t now_ns,
                                                 std::uint64_t bytes_max = kUnbounded);
  /// Takes the sink's outcomes, waiting up to `wait_ns` for the first; moves the cursors.
  [[nodiscard]] core::Result<void> collect(std::uint64_t now_ns, std::uint64_t wait_ns);
  /// Timeouts, and what is tried again; call about once a second.
  [[nodiscard]] core::Result<void> on_tick(std::uint64_t now_ns);
  /// The engine has said that it takes nothing for now: no answer is owed meanwhile.
  void still_blocked(std::uint64_t now_ns) { answered_ns_ = now_ns; }

  [[nodiscard]] std::size_t streams() const { return streams_.size(); }
  [[nodiscard]] bool is_live(std::size_t stream) const;
  [[nodiscard]] std::uint64_t sent_offset(std::size_t stream) const;
  /// Bytes that a record took, of late; 0: none was handed over yet.
  [[nodiscard]] double bytes_per_record(std::size_t stream) const;
  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  [[nodiscard]] std::uint64_t in_flight_messages() const { return in_flight_; }
  [[nodiscard]] std::uint64_t stored_messages() const { return stored_; }
  /// Why a stream's refused records cannot be kept; empty if they can.
  [[nodiscard]] std::string letters_error() const;
  /// Why a message that is no record was refused, the latest; empty: none was.
  [[nodiscard]] const std::string& untold() const { return untold_; }

 private:
  /// Of a record, or of a block of them.
  struct Refusal {
    std::uint64_t ticket = 0;
    std::string reason;
    std::uint64_t kept = 0;  // of its records, so many are in the dead-letter file
  };
  struct Stream {
    Stream(BlockSource& from, const Origin& self, core::EnginePayload kind)
        : source(from), unpacker(from, self, form_of(kind)), payloads(kind) {}
    BlockSource& source;
    StreamUnpacker unpacker;
    PayloadMaker payloads;
    StreamLedger ledger;
    std::vector<Refusal> refused;  // not yet in the dead-letter file
    std::string letters_error;
    std::uint64_t retry_at_ns = 0;
    std::uint64_t sent_offset = 0;
    double bytes_per_record = 0;
    bool touched = false;
  };
  /// A message on its way: one of a stream's ledger, or what is told in place of a refused one.
  struct InFlight {
    std::size_t stream = 0;
    std::uint64_t entry = 0;  // in the ledger
    std::uint64_t bytes = 0;
    bool holds_records = false;
    bool done = false;
  };
  /// A gap that is still to be told.
  struct Owed {
    std::size_t stream = 0;
    std::uint64_t entry = 0;
  };

  [[nodiscard]] core::Result<bool> tell_owed();
  [[nodiscard]] core::Result<std::uint64_t> take_turn(std::size_t stream, std::uint64_t bytes_max);
  [[nodiscard]] core::Result<bool> hand_over(std::size_t index);
  [[nodiscard]] core::Result<bool> offer(std::size_t stream, const Envelope& envelope,
                                         const Payload& payload,
                                         std::optional<std::uint64_t> entry);
  [[nodiscard]] std::optional<Admission> admission() const;
  [[nodiscard]] bool has_room(std::uint64_t bytes) const;
  [[nodiscard]] core::Result<void> take(SinkOutcome& outcome);
  [[nodiscard]] core::Result<void> settle(std::uint64_t now_ns);
  void keep_letters(std::size_t stream, std::uint64_t now_ns);
  [[nodiscard]] static Ack next_letters(Stream& stream);
  void were_kept(std::size_t stream, std::size_t letters);
  void touch(std::size_t stream);
  [[nodiscard]] static StreamUnpacker::Form form_of(core::EnginePayload payload);
  [[nodiscard]] const std::string& key_of(const Stream& stream, const Envelope& envelope);

  SinkSessionOptions options_;
  Sink& sink_;
  std::vector<std::unique_ptr<Stream>> streams_;
  StreamScheduler scheduler_;
  std::deque<InFlight> sent_;  // by ticket, from first_ticket_ on
  std::uint64_t first_ticket_ = 1;
  std::deque<Owed> owed_;
  std::uint64_t in_flight_ = 0;
  std::uint64_t in_flight_bytes_ = 0;
  std::uint64_t stored_ = 0;
  std::uint64_t answered_ns_ = 0;
  std::uint64_t pumped_ = 0;
  bool full_ = false;  // of the present pump
  std::vector<std::size_t> touched_;
  std::vector<SinkOutcome> outcomes_;
  std::string key_;
  std::string untold_;
};

}  // namespace spillway::uplink
