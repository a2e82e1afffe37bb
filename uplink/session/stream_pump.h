// StreamPump: one stream's side of an uplink session: where sending starts, what the next message
// holds, and what has been acknowledged.
//
// One thread, no I/O of its own: it reads its BlockSource when asked.
//
// Invariants:
//  1. Messages of one stream go out in offset order; a message holds blocks of one journal only.
//  2. acked <= sent in each journal, and neither goes back within a session.
//  3. A relayed stream's journals are told one after the other, each for itself: the next one may begin
//     below the end of the one before. And its far end may hold more than the relay, which was behind
//     once: the records are the origin's, so they are the same.
//  4. in_flight_bytes() counts the messages that moved the offset on and whose end is not
//     acknowledged; packed and compressed ones by what they decode to, for that is what the far end
//     holds.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "uplink/protocol/messages.h"
#include "uplink/session/block_source.h"

namespace spillway::uplink {

/// What the far end's Welcome takes.
struct PeerTakes {
  bool zstd = false;        // blocks that are compressed
  bool short_form = false;  // messages in their short forms
};

class StreamPump {
 public:
  static constexpr std::size_t kGatheredBytes = 32 * 1024;

  StreamPump(std::uint16_t index, BlockSource& source) : index_(index), source_(source) {}

  static constexpr std::uint64_t kUnbounded = std::numeric_limits<std::uint64_t>::max();

  /// Reads anew what is held. First thing in a session.
  [[nodiscard]] core::Result<HeldStream> describe();
  /// Decides from the Welcome where sending starts. kRefused: the far end holds more than we do, or
  /// another record below that offset.
  [[nodiscard]] core::Result<void> start(const WantedStream& wanted, PeerTakes takes);
  /// What is collected may wait so long for more, up to kGatheredBytes. `now_ns` is told before each
  /// pull.
  void gather(std::uint64_t gather_ns) { gather_ns_ = gather_ns; }
  void tell_time(std::uint64_t now_ns) { now_ns_ = now_ns; }
  /// The next message, if there is anything to send: of about `bytes_target` of blocks, but of one
  /// record at least, and of a compressed block the whole. One that counts for more than `room_bytes` is kept for later: waits_for_room().
  [[nodiscard]] core::Result<std::optional<Bytes>> pull(std::uint64_t bytes_target,
                                                        std::uint64_t room_bytes = kUnbounded);
  [[nodiscard]] bool waits_for_room() const { return waits_for_room_; }
  /// kProtocol: an ack beyond what was sent, backwards, or for a journal that is not ours.
  [[nodiscard]] core::Result<void> acknowledge(const Ack& ack);
  [[nodiscard]] core::Result<void> acknowledge(const ShortAck& ack);

  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  [[nodiscard]] std::size_t in_flight_messages() const { return in_flight_.size(); }
  /// The spill goes on in a journal that Hello did not name: the session must begin anew.
  [[nodiscard]] bool journal_ended() const { return journal_ended_; }
  [[nodiscard]] const std::string& name() const { return source_.name(); }
  /// Whose stream it is, if this machine relays it; else null.
  [[nodiscard]] const Origin* origin() const { return source_.origin(); }
  [[nodiscard]] core::Uuid journal() const;
  [[nodiscard]] std::uint64_t acked_offset() const { return acked_.next_offset; }
  [[nodiscard]] std::uint64_t sent_offset() const { return sent_offset_; }

 private:
  struct Sent {
    core::Uuid journal;
    std::uint64_t next_offset = 0;
    std::uint64_t bytes = 0;
  };
  /// Blocks of one segment, collected for a message.
  struct Run {
    std::uint64_t salt = 0;
    Bytes blocks;
  };

  [[nodiscard]] std::size_t gathered_bytes() const;
  [[nodiscard]] bool gathers() const;
  [[nodiscard]] core::Result<void> check_history(const WantedJournal& wanted);
  [[nodiscard]] core::Result<void> collect();
  [[nodiscard]] core::Result<bool> take(const core::Block& block);
  void hold(const core::Block& block);
  [[nodiscard]] bool put_in_parts(const core::Block& block);
  void put(const core::Block& block);
  [[nodiscard]] Bytes flush_blocks();
  [[nodiscard]] Bytes message_of_runs();
  [[nodiscard]] std::optional<Bytes> flush_gap();
  [[nodiscard]] const core::JournalRange* find(const core::Uuid& journal) const;
  [[nodiscard]] std::uint64_t end_of(std::size_t range) const;
  [[nodiscard]] bool is_covered(const Sent& sent, const core::JournalRange& range,
                                std::uint64_t next_offset) const;
  void enter_journal(const core::Uuid& journal);
  void note_sent(const core::Uuid& journal, std::uint64_t next_offset, std::uint64_t bytes);

  std::uint16_t index_;
  BlockSource& source_;
  std::vector<core::JournalRange> ranges_;
  std::uint64_t oldest_offset_ = 0;

  // What is collected and not yet in a message.
  core::Uuid run_journal_;
  std::vector<Run> runs_;
  std::size_t run_bytes_ = 0;
  std::size_t run_bytes_target_ = 0;
  std::uint64_t run_next_offset_ = 0;
  std::uint64_t run_since_ns_ = 0;  // when its first block was put
  std::uint64_t gather_ns_ = 0;
  std::uint64_t now_ns_ = 0;
  std::optional<core::Gap> gap_;     // the next thing to send, after runs_
  std::optional<core::Block> held_;  // what does not go with runs_: after them and gap_
  Bytes held_stored_;

  std::uint64_t position_ = 0;  // read up to here: the next data block or gap begins here
  core::Uuid reading_;          // of a relayed stream: the journal in which
  std::map<core::Uuid, std::uint64_t> wanted_;  // of such a one: from where each journal is wanted
  std::uint64_t sent_offset_ = 0;
  core::Uuid sent_journal_;
  core::CursorPosition acked_;
  std::deque<Sent> in_flight_;
  std::uint64_t in_flight_bytes_ = 0;
  bool journal_ended_ = false;
  bool waits_for_room_ = false;
};

}  // namespace spillway::uplink
