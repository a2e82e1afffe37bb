// The format's constants and rules: what makes a frame, a block, a segment valid. docs/format.md
// says the same in prose.
//
// Pure functions over bytes, any thread, no allocation, and nothing here trusts the bytes it is
// given.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "spillway/core/format_generated.h"
#include "spillway/core/frame.h"
#include "spillway/core/result.h"
#include "spillway/core/uuid.h"

namespace spillway::core {

// The stored integers are little-endian and read in place.
static_assert(std::endian::native == std::endian::little,
              "Spillway runs on little-endian machines");

constexpr std::uint64_t magic_of(const char (&text)[9]) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<std::uint8_t>(text[i]);
  return value;
}

inline constexpr std::uint64_t kSegmentMagic = magic_of("SPILLSEG");
inline constexpr std::uint64_t kControlMagic = magic_of("SPILLCTL");
inline constexpr std::uint64_t kJournalMagic = magic_of("SPILLJNL");
inline constexpr std::uint64_t kCursorMagic = magic_of("SPILLCUR");
inline constexpr std::uint64_t kGapMagic = magic_of("SPILLGAP");
inline constexpr std::uint64_t kDeadMagic = magic_of("SPILLDED");
inline constexpr std::uint64_t kLaneMagic = magic_of("SPILLANE");
inline constexpr std::uint64_t kBellMagic = magic_of("SPILLBEL");
inline constexpr std::uint32_t kFormatVersion = 1;

inline constexpr std::size_t kPageBytes = 4096;
/// BlockHeader.flags: every earlier segment was power-safe when the block was written.
inline constexpr std::uint16_t kEarlierSegmentsSafe = 1;
inline constexpr std::size_t kBlockHeaderBytes = 64;
inline constexpr std::size_t kBlockAlignment = 64;
inline constexpr std::size_t kSegmentHeaderBytes = 4096;
/// No record is larger than this, whatever a lane says: lanes end at 64 MiB and a record at half of
/// one.
inline constexpr std::uint32_t kRecordBytesLimit = 32U * 1024 * 1024;
/// A compressed block decodes to no more than this, whatever it says.
inline constexpr std::uint32_t kDecodedBytesMax = 256U * 1024;
inline constexpr std::uint32_t kDictionaryBytesMax = 64U * 1024;
/// A reader keeps this many dictionaries of a segment, the latest ones; the writer uses no more.
inline constexpr std::size_t kDictionariesMax = 4;

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

/// One record inside a run of frames.
struct FrameView {
  std::uint64_t ticks = 0;
  std::span<const std::byte> record;
};

/// Walks a run of frames. Usage: FrameCursor c(bytes); while (c.next(frame)) ...; if
/// (!c.clean_end()) damaged.
class FrameCursor {
 public:
  explicit FrameCursor(std::span<const std::byte> frames) : frames_(frames) {}
  /// False at the end and at the first frame that breaks a rule.
  [[nodiscard]] bool next(FrameView& frame);
  /// True if everything up to the last byte was whole frames.
  [[nodiscard]] bool clean_end() const { return at_ == frames_.size(); }

 private:
  std::span<const std::byte> frames_;
  std::size_t at_ = 0;
};

/// How many records a run of frames holds, if it is a run of frames: whole, records only, no
/// padding, flags 0.
[[nodiscard]] Result<std::uint32_t> count_frames(std::span<const std::byte> frames);

[[nodiscard]] std::uint64_t block_checksum(const format::BlockHeader& header,
                                           std::span<const std::byte> stored, std::uint64_t salt);

/// What one record below a stored position says of its history: the lower 63 bits (which every
/// database holds) of the XXH3-64, seeded with the record's offset, of its ticks (8 bytes) and its
/// bytes. The same however the record was put into blocks, compressed, sealed anew or relayed. 1
/// where it is 0, which says 'not known'.
[[nodiscard]] std::uint64_t record_checksum(std::uint64_t offset, std::uint64_t ticks,
                                            std::span<const std::byte> record);
/// XXH3-64, seed 0.
[[nodiscard]] std::uint64_t content_checksum(std::span<const std::byte> bytes);

/// The id under which a dictionary's blocks name it, made from what stands behind magic and id.
[[nodiscard]] std::uint32_t dictionary_id(std::span<const std::byte> content);
/// The rules of a dictionary: its size, zstd's magic, and the id that its content asks for.
[[nodiscard]] Result<void> check_dictionary(std::span<const std::byte> dictionary);

/// The structural rules of a header alone: kind and codec known, sizes agree and fit in `room`
/// bytes (header included), offset is the expected one. Does not look at the checksum.
[[nodiscard]] Result<void> check_block_header(const format::BlockHeader& header, std::uint64_t room,
                                              std::uint64_t expected_offset);
/// The whole rule but what a compressed block decodes to: header, checksum, and for data blocks
/// without a codec the frames (count agrees). BlockDecoder (codec.h) has the rest.
[[nodiscard]] Result<void> check_block(const format::BlockHeader& header,
                                       std::span<const std::byte> stored, std::uint64_t salt,
                                       std::uint64_t expected_offset);

/// Fills in the checksum.
void seal_segment_header(format::SegmentHeader& header);
/// kNewerVersion, or kCorrupt with the rule that is broken.
[[nodiscard]] Result<void> check_segment_header(const format::SegmentHeader& header,
                                                std::uint64_t file_size);

void seal_lane_header(format::LaneHeader& header);
[[nodiscard]] Result<void> check_lane_header(const format::LaneHeader& header,
                                             std::uint64_t file_size);
/// The rules of an identity alone: topic and producer name valid, tick rate not 0, sizes in range.
[[nodiscard]] Result<void> check_lane_identity(const format::LaneIdentity& identity);
[[nodiscard]] std::string_view topic_of(const format::LaneIdentity& identity);
[[nodiscard]] std::string_view producer_of(const format::LaneIdentity& identity);

/// Copies between the structs' byte arrays and Uuid.
[[nodiscard]] Uuid uuid_of(const flatbuffers::Array<std::uint8_t, 16>& bytes);
void set_uuid(flatbuffers::Array<std::uint8_t, 16>& bytes, const Uuid& uuid);

/// A trivially copyable struct as bytes, and back.
template <typename T>
[[nodiscard]] std::span<const std::byte> bytes_of(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(T)};
}
template <typename T>
[[nodiscard]] std::span<std::byte> writable_bytes_of(T& value) {
  return {reinterpret_cast<std::byte*>(&value), sizeof(T)};
}

static_assert(sizeof(format::FrameHeader) == kFrameHeaderBytes);
static_assert(sizeof(format::BlockHeader) == kBlockHeaderBytes);
static_assert(sizeof(format::LaneIdentity) == 512);
static_assert(sizeof(format::LaneDeclaration) == 528);
static_assert(sizeof(format::ClockReading) == 40);
static_assert(sizeof(format::GapDeclaration) == 16);
static_assert(sizeof(format::SegmentHeader) == 256);
static_assert(sizeof(format::StreamControl) == 128);
static_assert(sizeof(format::JournalPage) == 72);
static_assert(sizeof(format::CursorSlot) == 72);
static_assert(sizeof(format::GapEntry) == 64);
static_assert(sizeof(format::GapTableHeader) == 40);
static_assert(sizeof(format::DeadLetterHeader) == 40);
static_assert(sizeof(format::DeadLetterHead) == 72);
static_assert(sizeof(format::LaneHeader) == 544);
static_assert(sizeof(format::LaneProducerLine) == 128);
static_assert(sizeof(format::LaneAgentLine) == 128);
static_assert(sizeof(format::QueueControl) == 256);

}  // namespace spillway::core
