#include <cstddef>
#include <string>

#include "core/format/checksum.h"
#include "core/format/rules.h"
#include "spillway/core/format.h"

namespace spillway::core {

namespace {

constexpr std::size_t kChecksumAt = 16;
constexpr std::size_t kChecksumBytes = sizeof(std::uint64_t);

/// Of all that stands around the checksum: magic, version and header size, too.
std::uint64_t checksum_of(const format::SegmentHeader& header) {
  const std::span<const std::byte> bytes = bytes_of(header);
  return xxh3(bytes.first(kChecksumAt), bytes.subspan(kChecksumAt + kChecksumBytes), 0);
}

}  // namespace

Result<void> check_magic(std::uint64_t magic, std::uint64_t expected, std::uint32_t version,
                         const char* what) {
  if (magic != expected) return broken(std::string(what) + " does not begin with its magic");
  if (version > kFormatVersion) {
    return fail(ErrorCode::kNewerVersion,
                std::string(what) + " was written by a newer version of Spillway (format " +
                    std::to_string(version) + ", this one knows " + std::to_string(kFormatVersion) +
                    "): install that version or a later one; nothing was changed");
  }
  if (version == 0) return broken(std::string(what) + " has version 0");
  return {};
}

void seal_segment_header(format::SegmentHeader& header) {
  header.mutate_checksum(checksum_of(header));
}

Result<void> check_segment_header(const format::SegmentHeader& header, std::uint64_t file_size) {
  // The checksum before the version: a rotten bit of the version is damage, a newer version has sealed its own.
  if (header.magic() == kSegmentMagic && header.checksum() != checksum_of(header)) {
    return broken("the segment header's checksum does not fit its bytes");
  }
  SPILLWAY_CHECKED(check_magic(header.magic(), kSegmentMagic, header.version(), "the segment"));
  if (header.header_size() != kSegmentHeaderBytes) {
    return broken("the segment's header size is not 4096");
  }
  const std::uint64_t size = header.segment_size();
  if (size % kPageBytes != 0 || size <= kSegmentHeaderBytes) {
    return broken("the segment's size " + std::to_string(size) +
                  " is not a multiple of 4096 above its header");
  }
  if (size != file_size) {
    return broken("the segment says " + std::to_string(size) + " bytes, its file has " +
                  std::to_string(file_size));
  }
  if (header.base_offset() < header.journal_first_offset()) {
    return broken("the segment begins before its journal");
  }
  return {};
}

Uuid uuid_of(const flatbuffers::Array<std::uint8_t, 16>& bytes) {
  Uuid uuid;
  std::copy_n(bytes.data(), uuid.bytes.size(), uuid.bytes.begin());
  return uuid;
}

void set_uuid(flatbuffers::Array<std::uint8_t, 16>& bytes, const Uuid& uuid) {
  for (std::uint32_t i = 0; i < uuid.bytes.size(); ++i) bytes.Mutate(i, uuid.bytes[i]);
}

}  // namespace spillway::core
