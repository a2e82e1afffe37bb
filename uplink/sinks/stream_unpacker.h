// StreamUnpacker: one stream of the spill as the messages that an engine is told of it, one after the
// other: records (or, if it is so asked, whole blocks of them), gaps, and what explains them (lanes,
// clock readings, schemas).
//
// One thread, no I/O of its own: it reads its BlockSource when asked. What its envelope and payload
// show is good until pop().
//
// Invariants:
//  1. Records and gaps come in the journals' order and in offset order, each offset once, from the
//     cursor on; nothing is left out without a gap.
//  2. What explains records comes before them, and once unless there is news of it: each segment
//     repeats it.
//  3. Nothing here trusts a byte of the spill: what cannot be a record is told as a gap (`damage`).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "spillway/core/lane_clock.h"
#include "uplink/protocol/envelope.h"
#include "uplink/session/block_source.h"
#include "uplink/sinks/block_bundle.h"

namespace spillway::uplink {

class StreamUnpacker {
 public:
  /// More of these in one session, and it begins anew with those that its segment names.
  static constexpr std::size_t kLanesMax = 65'536;
  static constexpr std::size_t kBootsMax = 4096;
  static constexpr std::size_t kSchemasMax = 1024;

  /// How records are told: one by one, or a message for each block of the spill.
  enum class Form : std::uint8_t { kRecords, kBlocks };

  /// `self`: whose the stream is, if it is no other gateway's.
  StreamUnpacker(BlockSource& source, const Origin& self, Form form = Form::kRecords);

  /// Goes to the cursor. kUnavailable: the spill ends before it.
  [[nodiscard]] core::Result<void> begin();
  /// True: there is a message.
  [[nodiscard]] core::Result<bool> front();
  void pop() { ready_ = false; }

  [[nodiscard]] const Envelope& envelope() const { return envelope_; }
  [[nodiscard]] std::span<const std::byte> payload() const { return payload_; }
  /// Where the cursor may stand once this message and all before it are done; nothing where it moves
  /// nothing.
  [[nodiscard]] const std::optional<core::CursorPosition>& behind() const { return behind_; }

  /// How many records the message holds; they end where behind() stands.
  [[nodiscard]] std::uint64_t records() const;

  /// What is told of so many records before `behind` that are dead letters here.
  [[nodiscard]] Envelope refused_gap(const core::CursorPosition& behind,
                                     std::uint64_t records) const;
  [[nodiscard]] const Origin& origin() const { return origin_; }

 private:
  struct Totals {
    std::uint64_t lane_end = 0;
    std::uint64_t rejected = 0;
    bool closed = false;
    bool operator==(const Totals&) const = default;
  };
  struct Lane {
    std::string topic;
    std::string producer;
    core::Uuid boot;
    std::uint64_t schema = 0;
    std::optional<Totals> told;
  };
  /// A data block whose records are being told.
  struct Run {
    format::BlockHeader header;
    core::FrameCursor frames;
    std::uint64_t next = 0;  // the offset of the next frame
    core::JournalRange journal;
    const Lane* lane = nullptr;
    std::uint64_t salt = 0;
    bool named = false;  // in the envelope
  };

  [[nodiscard]] core::Result<void> take(const core::StreamItem& item);
  [[nodiscard]] core::Result<void> take_block(const core::Block& block);
  void take_data(const core::Block& block);
  [[nodiscard]] core::Result<void> take_lane(const core::Block& block);
  [[nodiscard]] core::Result<void> take_clock(const core::Block& block);
  void take_schema(const core::Block& block);
  void tell_record();
  void tell_block();
  void tell_gap();
  void tell(EnvelopeKind kind, std::span<const std::byte> payload = {});
  [[nodiscard]] core::Result<const core::JournalRange*> range_of(const core::Block& block);
  [[nodiscard]] const core::JournalRange* find(const core::Uuid& journal) const;
  [[nodiscard]] std::uint64_t end_of(std::size_t range) const;
  [[nodiscard]] bool is_foreign() const { return source_.origin() != nullptr; }
  void enter(const core::JournalRange& range);
  void name_journal(const core::JournalRange& range, Envelope& envelope) const;
  void name_lane(std::uint64_t id, const Lane& lane);
  void name_run();

  BlockSource& source_;
  Origin origin_;
  Form form_;
  std::vector<core::JournalRange> ranges_;
  core::Uuid reading_;          // the journal in which ...
  std::uint64_t position_ = 0;  // ... everything below this was told

  std::optional<Run> run_;
  std::optional<core::Gap> gap_;  // before what is in run_
  std::unordered_map<std::uint64_t, Lane> lanes_;
  core::LaneClock clock_;
  BlockBundle bundle_;                // of the block in run_, where blocks are told
  std::map<core::Uuid, bool> boots_;  // those that the clock knows; true: and were told
  std::set<std::uint64_t> schemas_;

  bool ready_ = false;
  Envelope envelope_;
  std::span<const std::byte> payload_;
  std::optional<core::CursorPosition> behind_;
};

}  // namespace spillway::uplink
