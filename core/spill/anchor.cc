#include "core/spill/anchor.h"

#include <cstring>

#include "core/spill/heal.h"
#include "core/spill/paths.h"

namespace spillway::core {

namespace {

constexpr std::size_t kAnchorBytes = std::size_t{kSegmentHeaderBytes} + std::size_t{kPageBytes};

}  // namespace

std::vector<std::byte> make_anchor(format::SegmentHeader header) {
  header.mutate_segment_size(kAnchorBytes);
  header.mutate_journal_first_offset(header.base_offset());
  seal_segment_header(header);
  std::vector<std::byte> bytes(kAnchorBytes);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

Result<void> store_anchor(env::Env& env, const std::string& directory,
                          std::span<const std::byte> bytes) {
  return env::replace_file(env, join(directory, kAnchorName), bytes);
}

Result<std::optional<format::SegmentHeader>> load_anchor(env::Env& env,
                                                         const std::string& directory) {
  const std::optional<format::SegmentHeader> none;
  const std::string path = join(directory, kAnchorName);
  auto bytes = env::read_file(env, path, kAnchorBytes);
  if (!bytes &&
      (bytes.error().code == ErrorCode::kNotFound || bytes.error().code == ErrorCode::kCorrupt)) {
    return none;
  }
  if (!bytes) return tl::unexpected(std::move(bytes).error());
  if (bytes->size() != kAnchorBytes) return none;
  format::SegmentHeader header;
  std::memcpy(&header, bytes->data(), sizeof(header));
  const auto valid = check_segment_header(header, kAnchorBytes);
  if (valid) return std::optional(header);
  if (valid.error().code == ErrorCode::kNewerVersion) {
    return fail(ErrorCode::kNewerVersion, path + ": " + valid.error().message);
  }
  return heal_segment_header(header, kAnchorBytes);
}

}  // namespace spillway::core
