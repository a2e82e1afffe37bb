// BlockSource: what a session needs of one stream: its journals, its blocks from an offset on, and
// a place for the cursor. The real one reads the spill (stream_source.h); tests bring their own.
//
// One thread, the session's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/core/cursor.h"
#include "spillway/core/result.h"
#include "spillway/core/stream_reader.h"
#include "uplink/protocol/messages.h"
#include "uplink/session/message_packer.h"

namespace spillway::uplink {

/// The gateway whose stream a relay passes on.
struct Origin {
  core::Uuid gateway;
  std::string gateway_name;
};

class BlockSource {
 public:
  BlockSource() = default;
  BlockSource(const BlockSource&) = delete;
  BlockSource& operator=(const BlockSource&) = delete;
  virtual ~BlockSource() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;
  /// All journals of which records are held, ascending; asked anew at each session's start.
  [[nodiscard]] virtual core::Result<std::vector<core::JournalRange>> journals() = 0;
  [[nodiscard]] virtual core::Result<std::uint64_t> oldest_offset() = 0;
  /// The next items are the declarations that the block at `offset` needs, then data from there on.
  [[nodiscard]] virtual core::Result<void> seek(std::uint64_t offset) = 0;
  /// The same in the journal of this number: see StreamReader::seek_in.
  [[nodiscard]] virtual core::Result<void> seek_in(std::uint64_t journal_sequence,
                                                   std::uint64_t offset) {
    static_cast<void>(journal_sequence);
    return seek(offset);
  }
  /// Whose stream it is, if it is another gateway's; else null.
  [[nodiscard]] virtual const Origin* origin() const { return nullptr; }
  /// True: compressed blocks come as they are stored, and their dictionaries with them. False, and at
  /// first: they come decoded.
  virtual void offer_stored(bool stored) = 0;
  /// The next block or gap, good until the next call; nothing if there is no more yet.
  [[nodiscard]] virtual core::Result<std::optional<core::StreamItem>> next() = 0;
  /// How far that is known to have been acknowledged; nothing if it never was.
  [[nodiscard]] virtual const std::optional<core::CursorPosition>& cursor() const = 0;
  /// The far end has everything below `position`. Never goes back: an older position is ignored.
  [[nodiscard]] virtual core::Result<void> acknowledge(const core::CursorPosition& position) = 0;
  /// The far end could not apply some of the records that this acknowledges. What it does not keep is
  /// kept here, power-safe when this returns; the cursor passes it afterwards. An error: it could not
  /// be kept, and the cursor must not.
  [[nodiscard]] virtual core::Result<void> refuse(const Ack& ack) = 0;

  /// What makes this stream's messages small: kept here, because it outlives the sessions.
  [[nodiscard]] MessagePacker& packer() { return *packer_; }
  /// For a training that may end after this source does.
  [[nodiscard]] std::shared_ptr<MessagePacker> shared_packer() { return packer_; }

 private:
  std::shared_ptr<MessagePacker> packer_ = std::make_shared<MessagePacker>();
};

}  // namespace spillway::uplink
