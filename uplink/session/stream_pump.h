// StreamPump: one stream's side of an uplink session: where sending starts, what the next message
// holds, and what has been acknowledged.
//
// One thread, no I/O of its own: it reads its BlockSource when asked.
//
// Invariants:
//  1. Messages of one stream go out in offset order; a message holds blocks of one journal only.
//  2. acked <= sent in each journal, and neither goes back within a session.
//  3. in_flight_bytes() counts the messages that moved the offset on and whose end is not
//     acknowledged; a compressed block by what it decodes to, for that is what the far end holds.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "uplink/protocol/messages.h"
#include "uplink/session/block_source.h"

namespace spillway::uplink {

class StreamPump {
 public:
  StreamPump(std::uint16_t index, BlockSource& source) : index_(index), source_(source) {}

  /// Reads anew what is held. First thing in a session.
  [[nodiscard]] core::Result<HeldStream> describe();
  /// Decides from the Welcome where sending starts. kRefused: the far end holds more than we do.
  /// `zstd`: the far end takes blocks that are compressed.
  [[nodiscard]] core::Result<void> start(const WantedStream& wanted, bool zstd);
  /// The next message, if there is anything to send: of about `bytes_target` of blocks, but of one
  /// block at least.
  [[nodiscard]] core::Result<std::optional<Bytes>> pull(std::uint64_t bytes_target);
  /// kProtocol: an ack beyond what was sent, backwards, or for a journal that is not ours.
  [[nodiscard]] core::Result<void> acknowledge(const Ack& ack);

  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  /// The spill goes on in a journal that Hello did not name: the session must begin anew.
  [[nodiscard]] bool journal_ended() const { return journal_ended_; }
  [[nodiscard]] const std::string& name() const { return source_.name(); }
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

  [[nodiscard]] core::Result<void> collect();
  [[nodiscard]] core::Result<bool> take(const core::Block& block);
  void put(const core::Block& block);
  [[nodiscard]] std::optional<Bytes> flush_blocks();
  [[nodiscard]] std::optional<Bytes> flush_gap();
  [[nodiscard]] const core::JournalRange* find(const core::Uuid& journal) const;
  [[nodiscard]] std::uint64_t end_of(std::size_t range) const;
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
  std::optional<core::Gap> gap_;     // the next thing to send, after runs_
  std::optional<core::Block> held_;  // a block of another journal, after runs_ and gap_
  Bytes held_stored_;

  std::uint64_t position_ = 0;  // read up to here: the next data block or gap begins here
  std::uint64_t sent_offset_ = 0;
  core::Uuid sent_journal_;
  core::CursorPosition acked_;
  std::deque<Sent> in_flight_;
  std::uint64_t in_flight_bytes_ = 0;
  bool journal_ended_ = false;
};

}  // namespace spillway::uplink
