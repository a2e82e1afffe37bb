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

void reserve_anchor(env::Env& env, const std::string& directory) {
  const std::string path = join(directory, kNextAnchorName);
  auto file = env.open(path, env::OpenMode::kOpenOrCreate);
  // Half a reservation is one that store_anchor() tries to make whole.
  if (file) static_cast<void>((*file)->allocate(kAnchorBytes));
}

Result<void> store_anchor(env::Env& env, const std::string& directory,
                          std::span<const std::byte> bytes) {
  const std::string next = join(directory, kNextAnchorName);
  {
    SPILLWAY_TRY(file, env.open(next, env::OpenMode::kOpenOrCreate));
    SPILLWAY_TRY(size, file->size());
    if (size > kAnchorBytes) {
      SPILLWAY_CHECKED(env.remove(next));
      SPILLWAY_TRY(another, env.open(next, env::OpenMode::kCreateNew));
      file = std::move(another);
    }
    SPILLWAY_CHECKED(file->write(0, bytes));
    SPILLWAY_CHECKED(file->sync_data());
  }
  SPILLWAY_CHECKED(env.rename(next, join(directory, kAnchorName)));
  reserve_anchor(env, directory);
  return env.sync_directory(directory);
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
