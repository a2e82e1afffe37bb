#include <cstring>
#include <limits>
#include <string>

#include "core/format/checksum.h"
#include "core/format/rules.h"
#include "spillway/core/format.h"

namespace spillway::core {

namespace {

constexpr std::size_t kChecksumBytes = sizeof(std::uint64_t);
constexpr std::uint32_t kFrameBytesMin = 2 * kFrameAlignment;
// As RFC 8878 has them: ids from 32,768 to 2^31 are free for private use.
constexpr std::uint32_t kDictionaryMagic = 0xEC30A437;
constexpr std::size_t kDictionaryHeadBytes = 8;
constexpr std::uint32_t kDictionaryIdMin = 32'768;
constexpr std::uint32_t kDictionaryIdEnd = 1U << 31;

using format::BlockHeader;
using format::BlockKind;

/// The byte may be no kind at all; the switches' default takes that.
BlockKind kind_of(const BlockHeader& header) { return static_cast<BlockKind>(header.kind()); }

Result<void> check_data_header(const BlockHeader& header) {
  if (header.count() == 0) return broken("a data block holds no record");
  if (header.base_offset() > std::numeric_limits<std::uint64_t>::max() - header.count()) {
    return broken("a data block's offsets run past 2^64");
  }
  return {};
}

/// What every kind but data must not say.
Result<void> check_declaration_header(const BlockHeader& header) {
  if (header.count() != 0) return broken("a block that is not data counts records");
  if (header.anchor_ticks() != 0 || header.anchor_boottime_ns() != 0) {
    return broken("a block that is not data has an anchor");
  }
  const bool of_a_lane = kind_of(header) == BlockKind::lane;
  if (!of_a_lane && (header.lane_id() != 0 || header.lane_end() != 0)) {
    return broken("a block of no lane names one");
  }
  return {};
}

Result<void> check_stored_size(const BlockHeader& header, std::uint64_t size) {
  if (header.stored_size() == size) return {};
  return broken("a block of kind " + std::to_string(header.kind()) + " stores " +
                std::to_string(header.stored_size()) + " bytes instead of " + std::to_string(size));
}

/// Small enough that nobody has to trust a peer with much memory, and smaller than what it stands for.
Result<void> check_codec(const BlockHeader& header) {
  if (header.codec() == static_cast<std::uint8_t>(format::Codec::none)) {
    if (header.raw_size() == header.stored_size()) return {};
    return broken("a block without a codec has a raw size unlike its stored size");
  }
  if (header.codec() != static_cast<std::uint8_t>(format::Codec::zstd)) {
    return broken("unknown codec " + std::to_string(header.codec()));
  }
  if (kind_of(header) != BlockKind::data) return broken("a block that is not data is compressed");
  if (header.raw_size() > kDecodedBytesMax) {
    return broken("a compressed block of " + std::to_string(header.raw_size()) +
                  " bytes, more than may be");
  }
  if (header.stored_size() == 0 || header.stored_size() >= header.raw_size()) {
    return broken("a compressed block is not smaller than what it stands for");
  }
  if (header.count() > header.raw_size() / kFrameBytesMin) {
    return broken("a compressed block says more records than it can hold");
  }
  return {};
}

Result<void> check_dictionary_size(const BlockHeader& header) {
  if (header.stored_size() > kDictionaryHeadBytes && header.stored_size() <= kDictionaryBytesMax) {
    return {};
  }
  return broken("a dictionary of " + std::to_string(header.stored_size()) + " bytes");
}

Result<void> check_kind(const BlockHeader& header) {
  switch (kind_of(header)) {
    case BlockKind::data:
      return check_data_header(header);
    case BlockKind::lane:
      SPILLWAY_CHECKED(check_stored_size(header, sizeof(format::LaneDeclaration)));
      break;
    case BlockKind::clock:
      SPILLWAY_CHECKED(check_stored_size(header, sizeof(format::ClockReading)));
      break;
    case BlockKind::seal:
      SPILLWAY_CHECKED(check_stored_size(header, 0));
      break;
    case BlockKind::gap:
      SPILLWAY_CHECKED(check_stored_size(header, sizeof(format::GapDeclaration)));
      break;
    case BlockKind::dictionary:
      SPILLWAY_CHECKED(check_dictionary_size(header));
      break;
    case BlockKind::schema:
      break;
    default:
      return broken("unknown block kind " + std::to_string(header.kind()));
  }
  return check_declaration_header(header);
}

Result<void> check_data(const BlockHeader& header, std::span<const std::byte> stored) {
  if (header.codec() != static_cast<std::uint8_t>(format::Codec::none)) return {};
  SPILLWAY_TRY(count, count_frames(stored));
  if (count == header.count()) return {};
  return broken("a data block says " + std::to_string(header.count()) + " records and holds " +
                std::to_string(count));
}

Result<void> check_lane(const BlockHeader& header, std::span<const std::byte> stored) {
  format::LaneDeclaration declaration;
  std::memcpy(&declaration, stored.data(), sizeof(declaration));
  SPILLWAY_CHECKED(check_lane_identity(declaration.identity()));
  if (declaration.identity().lane_id() != header.lane_id()) {
    return broken("a lane block's header and its identity name different lanes");
  }
  if (declaration.closed() > 1) return broken("a lane block's 'closed' is neither 0 nor 1");
  if (!is_zero_from(*declaration.reserved()))
    return broken("a lane block's reserved bytes are used");
  return {};
}

Result<void> check_clock(std::span<const std::byte> stored) {
  format::ClockReading reading;
  std::memcpy(&reading, stored.data(), sizeof(reading));
  if (reading.certain() > 1) return broken("a clock block's 'certain' is neither 0 nor 1");
  if (!is_zero_from(*reading.reserved())) return broken("a clock block's reserved bytes are used");
  return {};
}

Result<void> check_gap(const BlockHeader& header, std::span<const std::byte> stored) {
  format::GapDeclaration gap;
  std::memcpy(&gap, stored.data(), sizeof(gap));
  if (gap.next_offset() <= header.base_offset()) return broken("a gap block names no offset");
  if (!is_zero_from(*gap.reserved())) return broken("a gap block's reserved bytes are used");
  return {};
}

}  // namespace

std::uint64_t block_checksum(const BlockHeader& header, std::span<const std::byte> stored,
                             std::uint64_t salt) {
  const std::span<const std::byte> rest = bytes_of(header).subspan(kChecksumBytes);
  // In a segment the stored bytes follow their header: one call, the append's path.
  const std::byte* const end = rest.data() + rest.size();
  if (end == stored.data()) return xxh3({rest.data(), rest.size() + stored.size()}, salt);
  return xxh3(rest, stored, salt);
}

Result<void> check_block_header(const BlockHeader& header, std::uint64_t room,
                                std::uint64_t expected_offset) {
  if (room < kBlockHeaderBytes || header.stored_size() > room - kBlockHeaderBytes) {
    return broken("a block does not lie whole in the " + std::to_string(room) + " bytes there are");
  }
  if ((header.flags() & ~kEarlierSegmentsSafe) != 0) return broken("a block has unknown flags");
  SPILLWAY_CHECKED(check_codec(header));
  if (header.base_offset() != expected_offset) {
    return broken("a block has offset " + std::to_string(header.base_offset()) + " where " +
                  std::to_string(expected_offset) + " was expected");
  }
  return check_kind(header);
}

Result<void> check_block(const BlockHeader& header, std::span<const std::byte> stored,
                         std::uint64_t salt, std::uint64_t expected_offset) {
  SPILLWAY_CHECKED(check_block_header(header, std::uint64_t{kBlockHeaderBytes} + stored.size(),
                                      expected_offset));
  if (header.stored_size() != stored.size()) {
    return broken("a block stores " + std::to_string(header.stored_size()) + " bytes, but " +
                  std::to_string(stored.size()) + " are there");
  }
  if (header.checksum() != block_checksum(header, stored, salt)) {
    return broken("a block's checksum does not fit its bytes");
  }
  switch (kind_of(header)) {
    case BlockKind::data:
      return check_data(header, stored);
    case BlockKind::lane:
      return check_lane(header, stored);
    case BlockKind::clock:
      return check_clock(stored);
    case BlockKind::gap:
      return check_gap(header, stored);
    case BlockKind::dictionary:
      return check_dictionary(stored);
    default:
      return {};
  }
}

std::uint64_t record_checksum(std::uint64_t offset, std::uint64_t ticks,
                              std::span<const std::byte> record) {
  const std::uint64_t checksum =
      xxh3(bytes_of(ticks), record, offset) & std::numeric_limits<std::int64_t>::max();
  return checksum == 0 ? 1 : checksum;
}

std::uint64_t content_checksum(std::span<const std::byte> bytes) { return xxh3(bytes, 0); }

std::uint32_t dictionary_id(std::span<const std::byte> content) {
  return kDictionaryIdMin +
         static_cast<std::uint32_t>(xxh3(content, 0) % (kDictionaryIdEnd - kDictionaryIdMin));
}

Result<void> check_dictionary(std::span<const std::byte> dictionary) {
  if (dictionary.size() <= kDictionaryHeadBytes || dictionary.size() > kDictionaryBytesMax) {
    return broken("a dictionary of " + std::to_string(dictionary.size()) + " bytes");
  }
  std::uint32_t head[2];
  std::memcpy(head, dictionary.data(), sizeof head);
  if (head[0] != kDictionaryMagic) return broken("a dictionary does not begin with zstd's magic");
  if (head[1] != dictionary_id(dictionary.subspan(kDictionaryHeadBytes))) {
    return broken("a dictionary's id is not the one of its content");
  }
  return {};
}

}  // namespace spillway::core
