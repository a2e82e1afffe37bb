// StreamIntake: one stream's side of a consumer session: checks every block and frame that arrives
// and turns it into batches for the inbox.
//
// One thread, no I/O. Nothing here trusts a byte of the peer's.
//
// Invariants:
//  1. next_offset of a journal moves only over checked records and reported gaps, never over a
//     hole.
//  2. A block beyond the next offset is an error; one that straddles it is applied from it on; an
//     old one is ignored.
//  3. Everything that a peer can make grow has a bound.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "spillway/core/codec.h"
#include "spillway/core/format.h"
#include "spillway/core/lane_clock.h"
#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/session/message_unpacker.h"
#include "uplink/consumer/session/record_judge.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

inline constexpr std::size_t kLanesPerSessionMax = 65'536;
inline constexpr std::size_t kBootsPerSessionMax = 4096;
inline constexpr std::size_t kSchemasPerSessionMax = 1024;

class StreamIntake {
 public:
  StreamIntake(core::Uuid gateway, std::uint16_t index, uplink::HeldStream held, bool zstd,
               RecordRules rules = {});

  [[nodiscard]] const std::string& name() const { return held_.name; }
  [[nodiscard]] const std::vector<core::JournalRange>& journals() const { return held_.journals; }
  /// Whose stream it is: the peer's, or another gateway's that the peer relays.
  [[nodiscard]] const core::Uuid& gateway() const { return gateway_; }
  /// From now on batches hold the checked blocks, and not the records in them.
  void keep_blocks() { keeps_blocks_ = true; }
  /// What the inbox knows of journals()[i]. Returns where to go on.
  StoredPosition set_position(std::size_t journal, const std::optional<StoredPosition>& stored);
  /// The journal's place in Hello's list. It must stand there: only such have batches.
  [[nodiscard]] std::size_t place_of(const core::Uuid& journal) const;

  /// Takes up the dictionaries that are known from before; what they are called in Welcome.
  [[nodiscard]] std::vector<std::uint64_t> recall(MessageUnpacker& unpacker);
  [[nodiscard]] core::Result<void> learn(const uplink::DictionaryMessage& dictionary,
                                         MessageUnpacker& unpacker);

  /// The batch that the message makes; kProtocol or kCorrupt if it breaks a rule.
  [[nodiscard]] core::Result<InboxBatch> accept(const uplink::Blocks& blocks,
                                                std::shared_ptr<const uplink::Bytes> owner);
  [[nodiscard]] core::Result<InboxBatch> accept(const uplink::ShortBlocks& blocks,
                                                MessageUnpacker& unpacker);
  [[nodiscard]] core::Result<InboxBatch> accept(const uplink::GapMessage& gap);

 private:
  struct Position {
    std::uint64_t next_offset = 0;
    std::uint64_t last_record = 0;
    bool stored = false;
  };
  struct Lane {
    std::shared_ptr<const LaneLabel> label;
    std::uint64_t batch = 0;       // the batch that has totals of this lane ...
    std::size_t totals_index = 0;  // ... at this place
  };

  [[nodiscard]] core::Result<InboxBatch> begin_batch(const core::Uuid& journal);
  void end_batch(InboxBatch& batch, std::uint64_t message_end);
  [[nodiscard]] core::Result<void> accept_run(const uplink::RunView& run, InboxBatch& batch,
                                              std::uint64_t& message_end);
  [[nodiscard]] core::Result<void> accept_block(const format::BlockHeader& header,
                                                std::span<const std::byte> stored,
                                                InboxBatch& batch);
  [[nodiscard]] core::Result<void> accept_data(const format::BlockHeader& header,
                                               std::span<const std::byte> stored,
                                               InboxBatch& batch);
  [[nodiscard]] core::Result<void> keep_data(const format::BlockHeader& header,
                                             std::span<const std::byte> stored,
                                             std::span<const std::byte> frames, InboxBatch& batch);
  [[nodiscard]] core::Result<void> accept_lane(const format::BlockHeader& header,
                                               std::span<const std::byte> stored,
                                               InboxBatch& batch);
  [[nodiscard]] core::Result<void> accept_clock(const format::BlockHeader& header,
                                                std::span<const std::byte> stored,
                                                InboxBatch& batch);
  void accept_schema(std::span<const std::byte> stored, InboxBatch& batch);
  /// The frames of a data block; decoded ones are the batch's from then on.
  [[nodiscard]] core::Result<std::span<const std::byte>> frames_of(
      const format::BlockHeader& header, std::span<const std::byte> stored, InboxBatch& batch);
  /// The batch's latest record, if it cannot be applied.
  void judge(const LaneLabel& lane, std::uint64_t offset, InboxBatch& batch);
  LaneTotals& totals_of(Lane& lane, InboxBatch& batch);
  [[nodiscard]] core::Error broken(core::ErrorCode code, const std::string& what) const;

  core::Uuid gateway_;
  std::uint16_t index_;
  uplink::HeldStream held_;
  bool zstd_;
  RecordJudge judge_;
  bool keeps_blocks_ = false;
  core::BlockDecoder decoder_;
  UnpackDictionaries dictionaries_;
  std::map<core::Uuid, Position> positions_;
  std::unordered_map<std::uint64_t, Lane> lanes_;
  core::LaneClock clock_;
  std::map<core::Uuid, bool> boots_;  // those that the clock knows, to bound it; true: for certain
  std::set<std::uint64_t> schemas_;   // those that went to the inbox, or are none
  std::uint64_t batch_serial_ = 0;
};

}  // namespace spillway::consumer
