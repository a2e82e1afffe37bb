// Pins every offset of every shared or stored struct: a change of format.fbs that moves a field
// does not compile. docs/format.md gives the same numbers; the sizes are pinned in
// spillway/core/format.h.
#include <cstddef>
#include <type_traits>

#include "spillway/core/format.h"

namespace spillway::core {

namespace {

template <typename Struct, std::size_t actual, std::size_t stated>
struct Pin {
  static_assert(actual == stated, "a stored field has moved: that is a new format version");
  static_assert(std::is_trivially_copyable_v<Struct> && std::is_standard_layout_v<Struct>);
  static_assert(alignof(Struct) == 8);
};

// The generated fields are private. An explicit instantiation may name them all the same
// ([temp.spec]/6).
#define SPILLWAY_PIN(type, field, offset) \
  template struct Pin<format::type, offsetof(format::type, field), offset>

// FrameHeader
SPILLWAY_PIN(FrameHeader, commit_word_, 0);
SPILLWAY_PIN(FrameHeader, flags_, 4);
SPILLWAY_PIN(FrameHeader, reserved_, 6);
SPILLWAY_PIN(FrameHeader, ticks_, 8);

// BlockHeader
SPILLWAY_PIN(BlockHeader, checksum_, 0);
SPILLWAY_PIN(BlockHeader, stored_size_, 8);
SPILLWAY_PIN(BlockHeader, raw_size_, 12);
SPILLWAY_PIN(BlockHeader, base_offset_, 16);
SPILLWAY_PIN(BlockHeader, count_, 24);
SPILLWAY_PIN(BlockHeader, kind_, 28);
SPILLWAY_PIN(BlockHeader, codec_, 29);
SPILLWAY_PIN(BlockHeader, flags_, 30);
SPILLWAY_PIN(BlockHeader, lane_id_, 32);
SPILLWAY_PIN(BlockHeader, lane_end_, 40);
SPILLWAY_PIN(BlockHeader, anchor_ticks_, 48);
SPILLWAY_PIN(BlockHeader, anchor_boottime_ns_, 56);

// LaneIdentity
SPILLWAY_PIN(LaneIdentity, lane_id_, 0);
SPILLWAY_PIN(LaneIdentity, created_boottime_ns_, 8);
SPILLWAY_PIN(LaneIdentity, tick_rate_hz_, 16);
SPILLWAY_PIN(LaneIdentity, schema_fingerprint_, 24);
SPILLWAY_PIN(LaneIdentity, boot_id_, 32);
SPILLWAY_PIN(LaneIdentity, pid_, 48);
SPILLWAY_PIN(LaneIdentity, uid_, 52);
SPILLWAY_PIN(LaneIdentity, max_record_bytes_, 56);
SPILLWAY_PIN(LaneIdentity, clock_kind_, 60);
SPILLWAY_PIN(LaneIdentity, topic_size_, 61);
SPILLWAY_PIN(LaneIdentity, producer_size_, 62);
SPILLWAY_PIN(LaneIdentity, reserved_, 63);
SPILLWAY_PIN(LaneIdentity, topic_, 64);
SPILLWAY_PIN(LaneIdentity, producer_, 320);
SPILLWAY_PIN(LaneIdentity, reserved_tail_, 384);

// LaneDeclaration
SPILLWAY_PIN(LaneDeclaration, identity_, 0);
SPILLWAY_PIN(LaneDeclaration, rejected_, 512);
SPILLWAY_PIN(LaneDeclaration, closed_, 520);
SPILLWAY_PIN(LaneDeclaration, reserved_, 521);

// ClockReading
SPILLWAY_PIN(ClockReading, boot_id_, 0);
SPILLWAY_PIN(ClockReading, boottime_ns_, 16);
SPILLWAY_PIN(ClockReading, utc_ns_, 24);
SPILLWAY_PIN(ClockReading, certain_, 32);
SPILLWAY_PIN(ClockReading, reserved_, 33);

// GapDeclaration
SPILLWAY_PIN(GapDeclaration, next_offset_, 0);
SPILLWAY_PIN(GapDeclaration, reason_, 8);
SPILLWAY_PIN(GapDeclaration, reserved_, 9);

// SegmentHeader
SPILLWAY_PIN(SegmentHeader, magic_, 0);
SPILLWAY_PIN(SegmentHeader, version_, 8);
SPILLWAY_PIN(SegmentHeader, header_size_, 12);
SPILLWAY_PIN(SegmentHeader, checksum_, 16);
SPILLWAY_PIN(SegmentHeader, salt_, 24);
SPILLWAY_PIN(SegmentHeader, segment_sequence_, 32);
SPILLWAY_PIN(SegmentHeader, base_offset_, 40);
SPILLWAY_PIN(SegmentHeader, segment_size_, 48);
SPILLWAY_PIN(SegmentHeader, journal_sequence_, 56);
SPILLWAY_PIN(SegmentHeader, journal_first_offset_, 64);
SPILLWAY_PIN(SegmentHeader, journal_, 72);
SPILLWAY_PIN(SegmentHeader, gateway_, 88);
SPILLWAY_PIN(SegmentHeader, boot_id_, 104);
SPILLWAY_PIN(SegmentHeader, created_boottime_ns_, 120);
SPILLWAY_PIN(SegmentHeader, stream_, 128);
SPILLWAY_PIN(SegmentHeader, recycled_, 192);
SPILLWAY_PIN(SegmentHeader, foreign_, 193);
SPILLWAY_PIN(SegmentHeader, reserved_, 194);
SPILLWAY_PIN(SegmentHeader, elapsed_ns_, 200);
SPILLWAY_PIN(SegmentHeader, reserved_tail_, 208);

// StreamControl
SPILLWAY_PIN(StreamControl, magic_, 0);
SPILLWAY_PIN(StreamControl, version_, 8);
SPILLWAY_PIN(StreamControl, agent_pid_, 12);
SPILLWAY_PIN(StreamControl, boot_id_, 16);
SPILLWAY_PIN(StreamControl, oldest_offset_, 32);
SPILLWAY_PIN(StreamControl, next_offset_, 40);
SPILLWAY_PIN(StreamControl, durable_offset_, 48);
SPILLWAY_PIN(StreamControl, appended_bytes_, 56);
SPILLWAY_PIN(StreamControl, newest_segment_, 64);
SPILLWAY_PIN(StreamControl, durable_checksum_, 72);
SPILLWAY_PIN(StreamControl, reserved_, 80);

// JournalPage
SPILLWAY_PIN(JournalPage, magic_, 0);
SPILLWAY_PIN(JournalPage, version_, 8);
SPILLWAY_PIN(JournalPage, suspect_, 12);
SPILLWAY_PIN(JournalPage, boot_id_, 16);
SPILLWAY_PIN(JournalPage, journal_, 32);
SPILLWAY_PIN(JournalPage, next_offset_, 48);
SPILLWAY_PIN(JournalPage, durable_offset_, 56);
SPILLWAY_PIN(JournalPage, next_check_, 64);

// CursorSlot
SPILLWAY_PIN(CursorSlot, checksum_, 0);
SPILLWAY_PIN(CursorSlot, magic_, 8);
SPILLWAY_PIN(CursorSlot, version_, 16);
SPILLWAY_PIN(CursorSlot, reserved_, 20);
SPILLWAY_PIN(CursorSlot, sequence_, 24);
SPILLWAY_PIN(CursorSlot, journal_, 32);
SPILLWAY_PIN(CursorSlot, journal_sequence_, 48);
SPILLWAY_PIN(CursorSlot, next_offset_, 56);
SPILLWAY_PIN(CursorSlot, updated_boottime_ns_, 64);

// GapEntry
SPILLWAY_PIN(GapEntry, checksum_, 0);
SPILLWAY_PIN(GapEntry, sequence_, 8);
SPILLWAY_PIN(GapEntry, first_offset_, 16);
SPILLWAY_PIN(GapEntry, next_offset_, 24);
SPILLWAY_PIN(GapEntry, count_, 32);
SPILLWAY_PIN(GapEntry, recorded_boottime_ns_, 40);
SPILLWAY_PIN(GapEntry, recorded_utc_ns_, 48);
SPILLWAY_PIN(GapEntry, reason_, 56);
SPILLWAY_PIN(GapEntry, reserved_, 57);

// GapTableHeader
SPILLWAY_PIN(GapTableHeader, magic_, 0);
SPILLWAY_PIN(GapTableHeader, version_, 8);
SPILLWAY_PIN(GapTableHeader, capacity_, 12);
SPILLWAY_PIN(GapTableHeader, checksum_, 16);
SPILLWAY_PIN(GapTableHeader, sequence_, 24);
SPILLWAY_PIN(GapTableHeader, count_, 32);

// DeadLetterHeader
SPILLWAY_PIN(DeadLetterHeader, checksum_, 0);
SPILLWAY_PIN(DeadLetterHeader, magic_, 8);
SPILLWAY_PIN(DeadLetterHeader, version_, 16);
SPILLWAY_PIN(DeadLetterHeader, reserved_, 20);
SPILLWAY_PIN(DeadLetterHeader, next_number_, 24);
SPILLWAY_PIN(DeadLetterHeader, taken_out_, 32);

// DeadLetterHead
SPILLWAY_PIN(DeadLetterHead, checksum_, 0);
SPILLWAY_PIN(DeadLetterHead, number_, 8);
SPILLWAY_PIN(DeadLetterHead, offset_, 16);
SPILLWAY_PIN(DeadLetterHead, journal_, 24);
SPILLWAY_PIN(DeadLetterHead, refused_utc_ns_, 40);
SPILLWAY_PIN(DeadLetterHead, schema_fingerprint_, 48);
SPILLWAY_PIN(DeadLetterHead, record_size_, 56);
SPILLWAY_PIN(DeadLetterHead, payload_size_, 60);
SPILLWAY_PIN(DeadLetterHead, topic_size_, 64);
SPILLWAY_PIN(DeadLetterHead, reason_size_, 66);
SPILLWAY_PIN(DeadLetterHead, reserved_, 68);

// LaneHeader
SPILLWAY_PIN(LaneHeader, magic_, 0);
SPILLWAY_PIN(LaneHeader, version_, 8);
SPILLWAY_PIN(LaneHeader, header_size_, 12);
SPILLWAY_PIN(LaneHeader, checksum_, 16);
SPILLWAY_PIN(LaneHeader, capacity_, 24);
SPILLWAY_PIN(LaneHeader, identity_, 32);

// LaneProducerLine
SPILLWAY_PIN(LaneProducerLine, rejected_, 0);
SPILLWAY_PIN(LaneProducerLine, flush_wanted_, 8);
SPILLWAY_PIN(LaneProducerLine, waiting_, 16);
SPILLWAY_PIN(LaneProducerLine, closing_, 20);
SPILLWAY_PIN(LaneProducerLine, fencing_, 24);
SPILLWAY_PIN(LaneProducerLine, rung_, 28);
SPILLWAY_PIN(LaneProducerLine, reserved_, 32);

// LaneAgentLine
SPILLWAY_PIN(LaneAgentLine, consumed_, 0);
SPILLWAY_PIN(LaneAgentLine, durable_, 8);
SPILLWAY_PIN(LaneAgentLine, event_, 16);
SPILLWAY_PIN(LaneAgentLine, quarantined_, 20);
SPILLWAY_PIN(LaneAgentLine, stream_full_, 24);
SPILLWAY_PIN(LaneAgentLine, reserved_, 28);
SPILLWAY_PIN(LaneAgentLine, refused_, 32);
SPILLWAY_PIN(LaneAgentLine, refused_end_, 40);
SPILLWAY_PIN(LaneAgentLine, reserved_tail_, 48);

// QueueControl
SPILLWAY_PIN(QueueControl, magic_, 0);
SPILLWAY_PIN(QueueControl, version_, 8);
SPILLWAY_PIN(QueueControl, agent_pid_, 12);
SPILLWAY_PIN(QueueControl, boot_id_, 16);
SPILLWAY_PIN(QueueControl, reserved_, 32);
SPILLWAY_PIN(QueueControl, armed_, 128);
SPILLWAY_PIN(QueueControl, armings_, 132);
SPILLWAY_PIN(QueueControl, reserved_tail_, 136);

#undef SPILLWAY_PIN

}  // namespace

}  // namespace spillway::core
