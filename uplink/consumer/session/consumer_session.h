// ConsumerSession: the consumer's half of one connection, from Hello to its end. Everything it
// decides is here; the shell (uplink/consumer/sources) moves bytes, and the inbox keeps what came.
//
//          Hello            positions known          refusal, error, fenced, commit failed
//   kNew ---------> kLookup ---------------> kStreaming ----------------------------------> kClosed
//     |  anything else  |  anything from the peer                                              ^
//     +-----------------+----------------------------------------------------------------------+
//
// One thread. The shell's duty after each call: send what take_output() gives, pass take_query()
// and take_batch() to the inbox in that order, and when a call returned an error, send what is left
// and close. What the inbox says comes back through on_positions, on_committed and on_failed, in
// the order it was asked.
//
// Invariants:
//  1. An Ack goes out only for what the inbox has committed.
//  2. A peer's lies end this session alone.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/session/message_unpacker.h"
#include "uplink/consumer/session/stream_intake.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

struct ConsumerSessionOptions {
  std::uint64_t window_bytes = 4ULL << 20;
  bool takes_zstd = true;  // compressed blocks, from an uplink that has such
  bool takes_short_form = true;
  /// All sessions' (and it outlives them); null: this one's own.
  std::shared_ptr<MessageUnpacker> unpacker = nullptr;
  RecordRules rules = {};
  bool keeps_blocks = false;  // batches hold the blocks as they came: for a relay
  /// Ids or names of those that may bring other gateways' streams.
  std::vector<std::string> relays{};
};

/// What the session asks the inbox after a Hello: the next offset of each.
struct PositionQuery {
  std::vector<InboxKey> keys;
};
using Positions = std::vector<std::optional<StoredPosition>>;  // one for each key, in order

enum class ConsumerState : std::uint8_t { kNew, kLookup, kStreaming, kClosed };

class ConsumerSession {
 public:
  explicit ConsumerSession(ConsumerSessionOptions options);

  [[nodiscard]] core::Result<void> on_message(std::shared_ptr<const uplink::Bytes> bytes,
                                              std::uint64_t utc_ns);
  [[nodiscard]] core::Result<void> on_positions(const core::Result<Positions>& positions);
  void on_committed(const InboxBatch& batch);
  /// The inbox could not take a batch: the peer is asked to come back later. Returns the error to
  /// log.
  core::Error on_failed(const core::Error& error, std::uint64_t retry_after_ms = 0);
  /// A newer session of the same gateway and stream has begun, or the consumer stops.
  /// `retry_after_ms`: how long the peer is asked to stay away; 0: as it likes.
  core::Error end(uplink::RefusalCode code, const std::string& text,
                  std::uint64_t retry_after_ms = 0);

  [[nodiscard]] std::optional<uplink::Bytes> take_output();
  [[nodiscard]] std::optional<PositionQuery> take_query();
  [[nodiscard]] std::optional<InboxBatch> take_batch();

  [[nodiscard]] ConsumerState state() const { return state_; }
  /// Who it is; set once the Hello is in.
  [[nodiscard]] const core::Uuid& gateway() const { return gateway_; }
  [[nodiscard]] const std::string& gateway_name() const { return gateway_name_; }
  [[nodiscard]] const std::string& uplink_name() const { return uplink_name_; }
  [[nodiscard]] const std::vector<StreamIntake>& streams() const { return streams_; }

 private:
  [[nodiscard]] core::Result<void> handle(const uplink::Message& message,
                                          std::shared_ptr<const uplink::Bytes> bytes);
  [[nodiscard]] core::Result<void> handle_hello(const uplink::Hello& hello);
  /// Blocks, whole or short.
  [[nodiscard]] core::Result<InboxBatch> batch_of(const uplink::Message& message,
                                                  std::shared_ptr<const uplink::Bytes> bytes);
  [[nodiscard]] core::Result<void> check_short_form() const;
  [[nodiscard]] core::Result<void> check_relayed(const uplink::Hello& hello) const;
  [[nodiscard]] core::Result<StreamIntake*> stream_of(std::uint16_t index);
  core::Error close(core::Error error, std::optional<uplink::Refusal> refusal);

  ConsumerSessionOptions options_;
  ConsumerState state_ = ConsumerState::kNew;
  core::Uuid gateway_;
  std::string gateway_name_;
  std::string uplink_name_;
  std::vector<StreamIntake> streams_;
  std::deque<uplink::Bytes> output_;
  std::optional<PositionQuery> query_;
  std::optional<InboxBatch> batch_;
  bool zstd_ = false;        // both ends know it
  bool short_form_ = false;  // and this
  bool peer_ended_ = false;
};

}  // namespace spillway::consumer
