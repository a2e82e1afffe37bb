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
//  2. Streams take turns as StreamScheduler has it: live data first, none starves.
//  3. An ack beyond what was sent, or backwards, ends the session; the cursor never goes back.
//  4. Where sending starts is what the Welcome says, never the cursor.
//  5. A backlog has no more on its way than keeps the link busy (SendWindow): live data finds a short
//     line. Messages are as large as the link carries in a tenth of a second, but hold one record, or a compressed
//     block.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "uplink/policy/send_window.h"
#include "uplink/policy/stream_scheduler.h"
#include "uplink/protocol/messages.h"
#include "uplink/session/stream_pump.h"

namespace spillway::uplink {

struct UplinkSessionOptions {
  core::Uuid gateway;
  std::string gateway_name;
  std::string uplink;
  std::uint64_t window_bytes = 4ULL << 20;
  bool offers_zstd = true;        // compressed blocks go as they are, where the far end takes them
  bool offers_short_form = true;  // and messages in their short forms, compressed where that pays
  std::uint64_t gather_ns = 0;  // live records wait so long for others, so that messages are larger
  std::vector<StreamShare> shares{};         // of the sources; those without one get the usual one
  std::uint64_t rate_limit_bytes_per_s = 0;  // what the link may be sent, as far as is known
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

  /// Of the sources given, how many this session's Hello had no room for: the last ones.
  [[nodiscard]] std::size_t left_out() const { return left_out_; }
  /// There are other streams now: what is on its way is waited for, then the session ends and the next
  /// one names them.
  void renew() { renewing_ = true; }

  [[nodiscard]] UplinkState state() const { return state_; }
  [[nodiscard]] Pause pause() const { return pause_; }
  /// The far end asked not to be called sooner than this; 0: it did not.
  [[nodiscard]] std::uint64_t retry_after_ns() const { return retry_after_ns_; }
  /// A newer session of this gateway took over: another machine may have this one's id.
  [[nodiscard]] bool fenced() const { return fenced_; }
  /// The Refusal to send before closing, if the end was our decision.
  [[nodiscard]] const std::optional<Bytes>& farewell() const { return farewell_; }
  /// Something was acknowledged: the link works, backoff may start small again.
  [[nodiscard]] bool progressed() const { return progressed_; }
  [[nodiscard]] const std::vector<StreamPump>& streams() const { return pumps_; }
  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  [[nodiscard]] std::uint64_t window_bytes() const { return window_bytes_; }
  [[nodiscard]] const SendWindow& send_window() const { return send_window_; }
  /// The stream keeps up: it has no backlog.
  [[nodiscard]] bool is_live(std::size_t stream) const { return scheduler_.is_live(stream); }
  /// What a record of the stream takes on the wire, of late; 0: none was sent yet.
  [[nodiscard]] double bytes_per_record(std::size_t stream) const {
    return lanes_[stream].bytes_per_record;
  }
  /// For how long an answer has been waited for; 0: none is.
  [[nodiscard]] std::uint64_t silent_ns(std::uint64_t now_ns) const;

 private:
  /// One stream's messages on their way; how many bytes of blocks make one on the wire.
  struct Lane {
    std::deque<Flight> sent;  // one for each of the pump's messages in flight
    double blocks_per_byte = 1;
    double bytes_per_record = 0;
  };

  [[nodiscard]] core::Result<void> handle(const Message& message, std::uint64_t now_ns);
  [[nodiscard]] core::Result<void> handle_welcome(const Welcome& welcome);
  template <typename AnyAck>
  [[nodiscard]] core::Result<void> handle_ack(const AnyAck& ack, std::uint64_t now_ns);
  [[nodiscard]] core::Error refused(const Refusal& refusal);
  [[nodiscard]] core::Result<std::optional<Bytes>> pull_in_turn(std::uint64_t now_ns);
  [[nodiscard]] std::optional<Admission> admission() const;
  [[nodiscard]] std::uint64_t blocks_target(std::size_t stream) const;
  [[nodiscard]] std::uint64_t room_bytes() const;
  struct Pulled {
    std::uint64_t bytes = 0;    // of the message
    std::uint64_t blocks = 0;   // bytes that it holds of them; 0: nothing but declarations
    std::uint64_t records = 0;  // by which the offset moved on
  };
  void note_sent(std::size_t stream, const Pulled& pulled, std::uint64_t now_ns);
  void note_acknowledged(std::size_t stream, std::uint64_t now_ns);
  [[nodiscard]] core::Result<std::optional<Bytes>> pull_or_renew(std::uint64_t now_ns);
  [[nodiscard]] core::Result<bool> is_renewing();
  [[nodiscard]] Bytes encode_within_bounds(Hello& hello);
  /// Closes the session with this error and says so to the peer.
  core::Error close(core::Error error, bool tell);

  UplinkSessionOptions options_;
  std::vector<StreamPump> pumps_;
  UplinkState state_ = UplinkState::kNew;
  Pause pause_ = Pause::kBackoff;
  bool fenced_ = false;
  std::uint64_t retry_after_ns_ = 0;
  std::optional<Bytes> farewell_;
  std::uint64_t window_bytes_;
  std::uint64_t waiting_since_ns_ = 0;  // for the Welcome, or for an ack
  std::uint64_t silent_since_ns_ = 0;   // the far end, with something to answer
  std::uint64_t hello_sent_ns_ = 0;
  StreamScheduler scheduler_;
  SendWindow send_window_;
  std::vector<Lane> lanes_;
  bool progressed_ = false;
  bool short_form_ = false;  // both ends know it
  bool peer_ended_ = false;
  std::uint64_t in_flight_bytes_ = 0;  // of all streams: there may be thousands
  bool renewing_ = false;
  std::optional<std::size_t> ended_;  // the stream that goes on in a new journal
  std::size_t left_out_ = 0;
};

}  // namespace spillway::uplink
