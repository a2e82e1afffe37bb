#include "core/spill/heal.h"

#include <cstring>

namespace spillway::core {

namespace {

constexpr std::size_t kBitsPerByte = 8;

void flip(std::span<std::byte> bytes, std::size_t bit) {
  bytes[bit / kBitsPerByte] ^= static_cast<std::byte>(1U << (bit % kBitsPerByte));
}

/// The block's size if it is valid as it stands; nothing otherwise.
std::optional<std::size_t> valid_size(std::span<const std::byte> bytes, std::uint64_t salt,
                                      std::uint64_t expected_offset) {
  format::BlockHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::size_t size = kBlockHeaderBytes + std::size_t{header.stored_size()};
  if (size > bytes.size() || size > kHealBytesMax) return std::nullopt;
  const auto stored = bytes.subspan(kBlockHeaderBytes, header.stored_size());
  if (!check_block(header, stored, salt, expected_offset)) return std::nullopt;
  return size;
}

/// How many bytes may hold the decayed bit: the whole block if its header holds as it stands.
std::size_t bytes_to_try(std::span<const std::byte> bytes, std::uint64_t expected_offset) {
  format::BlockHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::size_t size = kBlockHeaderBytes + std::size_t{header.stored_size()};
  const bool plausible = size <= bytes.size() && size <= kHealBytesMax &&
                         check_block_header(header, bytes.size(), expected_offset).has_value();
  return plausible ? size : kBlockHeaderBytes;
}

}  // namespace

std::optional<format::SegmentHeader> heal_segment_header(const format::SegmentHeader& header,
                                                         std::uint64_t file_size) {
  format::SegmentHeader tried = header;
  const auto bytes = writable_bytes_of(tried);
  for (std::size_t bit = 0; bit < bytes.size() * kBitsPerByte; ++bit) {
    flip(bytes, bit);
    if (check_segment_header(tried, file_size)) return tried;
    flip(bytes, bit);
  }
  return std::nullopt;
}

std::optional<std::vector<std::byte>> heal_block(std::span<const std::byte> bytes,
                                                 std::uint64_t salt,
                                                 std::uint64_t expected_offset) {
  if (bytes.size() < kBlockHeaderBytes) return std::nullopt;
  std::vector<std::byte> tried(bytes.begin(), bytes.end());
  const std::size_t bits = bytes_to_try(bytes, expected_offset) * kBitsPerByte;
  for (std::size_t bit = 0; bit < bits; ++bit) {
    flip(tried, bit);
    if (const auto size = valid_size(tried, salt, expected_offset)) {
      tried.resize(*size);
      return tried;
    }
    flip(tried, bit);
  }
  return std::nullopt;
}

}  // namespace spillway::core
