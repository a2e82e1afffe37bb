// UplinkSession: the uplink's half of one connection, from Hello to its end. Everything it decides
// is here; the shell (uplink/link) only moves bytes and tells the time.
//
//          on_open              Welcome                 refusal, error, timeout
//   kNew ---------> kHelloSent ---------> kStreaming -----------------------------> kClosed
//                       |  refusal, error, timeout                                     ^
//                       +--------------------------------------------------------------+
//
// One thread. Reads its sources only inside calls. After any call returned an error the session is
// kClosed: the shell sends farewell() if there is one, closes, and asks pause() how long to stay
// away.
//
// Invariants:
//  1. Unacknowledged bytes never pass the window (the smaller of ours and the Welcome's), but that
//     one message is always allowed.
//  2. Streams take turns, message by message: none starves.
//  3. An ack beyond what was sent, or backwards, ends the session; the cursor never goes back.
//  4. Where sending starts is what the Welcome says, never the cursor.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "uplink/protocol/messages.h"
#include "uplink/session/stream_pump.h"

namespace spillway::uplink {

struct UplinkSessionOptions {
  core::Uuid gateway;
  std::string gateway_name;
  std::string uplink;
  std::uint64_t window_bytes = 4ULL << 20;
  bool offers_zstd = true;  // compressed blocks go as they are, where the far end takes them
  std::uint64_t welcome_timeout_ns = 30'000'000'000;
  std::uint64_t ack_timeout_ns = 300'000'000'000;  // something is on its way and nothing comes back
};

enum class UplinkState : std::uint8_t { kNew, kHelloSent, kStreaming, kClosed };

/// How long to stay away after a session's end.
enum class Pause : std::uint8_t {
  kNone,     // begin anew at once: the stream goes on in a new journal
  kBackoff,  // the link's ordinary backoff
  kLong,     // a person has to do something first: the backoff's cap
};

class UplinkSession {
 public:
  UplinkSession(UplinkSessionOptions options, std::span<BlockSource* const> sources);

  /// The connection stands: the Hello to send.
  [[nodiscard]] core::Result<Bytes> on_open(std::uint64_t now_ns);
  [[nodiscard]] core::Result<void> on_message(std::span<const std::byte> bytes,
                                              std::uint64_t now_ns);
  /// The next message to send, if the window allows one and there is one.
  [[nodiscard]] core::Result<std::optional<Bytes>> pull(std::uint64_t now_ns);
  /// What was sent is still on its way out: the far end cannot have answered it.
  void still_sending(std::uint64_t now_ns) {
    waiting_since_ns_ = std::max(waiting_since_ns_, now_ns);
  }
  /// Timeouts; call about once a second.
  [[nodiscard]] core::Result<void> on_tick(std::uint64_t now_ns);

  [[nodiscard]] UplinkState state() const { return state_; }
  [[nodiscard]] Pause pause() const { return pause_; }
  /// A newer session of this gateway took over: another machine may have this one's id.
  [[nodiscard]] bool fenced() const { return fenced_; }
  /// The Refusal to send before closing, if the end was our decision.
  [[nodiscard]] const std::optional<Bytes>& farewell() const { return farewell_; }
  /// Something was acknowledged: the link works, backoff may start small again.
  [[nodiscard]] bool progressed() const { return progressed_; }
  [[nodiscard]] const std::vector<StreamPump>& streams() const { return pumps_; }
  [[nodiscard]] std::uint64_t in_flight_bytes() const;
  [[nodiscard]] std::uint64_t window_bytes() const { return window_bytes_; }

 private:
  [[nodiscard]] core::Result<void> handle(const Message& message);
  [[nodiscard]] core::Result<void> handle_welcome(const Welcome& welcome);
  [[nodiscard]] core::Result<void> handle_ack(const Ack& ack);
  [[nodiscard]] core::Error refused(const Refusal& refusal);
  [[nodiscard]] core::Result<std::optional<Bytes>> pull_in_turn();
  /// Closes the session with this error and says so to the peer.
  core::Error close(core::Error error, bool tell);

  UplinkSessionOptions options_;
  std::vector<StreamPump> pumps_;
  UplinkState state_ = UplinkState::kNew;
  Pause pause_ = Pause::kBackoff;
  bool fenced_ = false;
  std::optional<Bytes> farewell_;
  std::uint64_t window_bytes_;
  std::uint64_t waiting_since_ns_ = 0;  // for the Welcome, or for an ack
  std::size_t turn_ = 0;
  bool progressed_ = false;
  bool peer_ended_ = false;
};

}  // namespace spillway::uplink
