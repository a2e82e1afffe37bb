#include "core/spill/segment_file.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <limits>
#include <tuple>

#include "core/spill/heal.h"
#include "core/spill/memory_place.h"
#include "core/spill/paths.h"

namespace spillway::core {

namespace {

constexpr std::size_t kSequenceDigits = 10;
constexpr std::size_t kOffsetDigits = 20;
constexpr std::string_view kSuffix = ".spill";

bool parse_digits(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value < kSegmentNumberEnd;
}

/// Fills in size, header and whether it is readable. False if the file is gone by now.
Result<bool> inspect(env::Env& env, SegmentInfo& info) {
  auto file = env.open(info.path, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return false;
  if (!file) return tl::unexpected(std::move(file).error());
  SPILLWAY_TRY(bytes, (*file)->size());
  info.bytes = bytes;
  const auto read = (*file)->read(0, writable_bytes_of(info.header));
  // A directory: the agent sets it aside when it starts.
  if (!read && read.error().code == ErrorCode::kInvalidArgument) return false;
  if (!read) return tl::unexpected(read.error());
  const std::size_t got = *read;
  const auto header = bytes_of(info.header);
  info.never_begun =
      std::all_of(header.begin(), header.end(), [](std::byte b) { return b == std::byte{0}; });
  if (got < sizeof(info.header)) {
    info.problem = "it is shorter than a segment header";
    return true;
  }
  auto valid = check_segment_header(info.header, info.bytes);
  if (!valid && valid.error().code == ErrorCode::kNewerVersion) {
    return fail(ErrorCode::kNewerVersion, info.path + ": " + valid.error().message);
  }
  if (!valid) {
    info.problem = valid.error().message;
    const auto healed = heal_segment_header(info.header, info.bytes);
    info.healed = healed && healed->segment_sequence() == info.sequence &&
                  healed->base_offset() == info.base_offset;
    if (info.healed) {
      info.header = *healed;
      info.readable = true;
      info.problem = "one bit of its header has flipped; nothing in it is lost";
    }
  } else if (info.header.segment_sequence() != info.sequence ||
             info.header.base_offset() != info.base_offset) {
    info.problem = "its name and its header disagree";
    // A recycled file that was given its name before its new header was on the disk.
    info.never_begun = info.header.segment_sequence() < info.sequence;
  } else {
    info.readable = true;
    return true;
  }
  // Freed and recycled since it was opened: its name went first.
  return env.exists(info.path);
}

void add_named(std::vector<SegmentInfo>& segments, const std::string& directory, bool in_memory,
               const std::string& name, std::uint64_t bytes) {
  SegmentInfo info;
  if (!parse_segment_file_name(name, info.sequence, info.base_offset)) return;
  info.path = join(directory, name);
  info.bytes = bytes;
  info.in_memory = in_memory;
  segments.push_back(std::move(info));
}

Result<void> add_all(std::vector<SegmentInfo>& segments, env::Env& env,
                     const std::string& directory, bool in_memory, Sizes sizes) {
  if (sizes == Sizes::kWanted) {
    SPILLWAY_TRY(files, env.list_sizes(directory));
    segments.reserve(segments.size() + files.size());
    for (const auto& [name, bytes] : files) add_named(segments, directory, in_memory, name, bytes);
  } else {
    SPILLWAY_TRY(names, env.list(directory));
    segments.reserve(segments.size() + names.size());
    for (const std::string& name : names) add_named(segments, directory, in_memory, name, 0);
  }
  return {};
}

/// Of two copies, the disk's before the one in memory: what counts is the first that is readable.
Result<void> drop_copies(env::Env& env, std::vector<SegmentInfo>& segments) {
  for (std::size_t index = 1; index < segments.size();) {
    SegmentInfo& disk = segments[index - 1];
    const SegmentInfo& memory = segments[index];
    if (disk.sequence != memory.sequence || disk.base_offset != memory.base_offset) {
      ++index;
      continue;
    }
    SPILLWAY_CHECKED(inspect_segment(env, disk));
    segments.erase(segments.begin() +
                   static_cast<std::ptrdiff_t>(disk.readable ? index : index - 1));
  }
  return {};
}

/// The disk answers nothing, and what the stream holds stands in memory: the control page, which stands
/// there, too, says where it begins.
bool memory_holds_all(env::Env& env, const std::string& memory,
                      const std::vector<SegmentInfo>& segments, const Error& of_disk) {
  if (of_disk.code != ErrorCode::kIo || memory.empty() || segments.empty()) return false;
  const auto bytes = env::read_file(env, join(memory, kControlName), kPageBytes);
  format::StreamControl page;
  if (!bytes || bytes->size() < sizeof(page)) return false;
  std::memcpy(&page, bytes->data(), sizeof(page));
  return page.magic() == kControlMagic && page.version() == kFormatVersion &&
         uuid_of(*page.boot_id()) == env.boot_id() &&
         page.oldest_offset() >= segments.front().base_offset;
}

Result<std::vector<SegmentInfo>> name_segments(env::Env& env, const std::string& directory,
                                               Sizes sizes) {
  std::vector<SegmentInfo> segments;
  // Memory first: what leaves it while this looks is on the disk by then.
  const std::string memory = find_memory(env, directory);
  if (!memory.empty()) {
    auto listed = add_all(segments, env, memory, true, sizes);
    if (!listed && listed.error().code != ErrorCode::kNotFound) {
      return tl::unexpected(std::move(listed).error());
    }
  }
  const auto on_disk = add_all(segments, env, directory, false, sizes);
  if (!on_disk && !memory_holds_all(env, memory, segments, on_disk.error()))
    return tl::unexpected(on_disk.error());
  const auto is_before = [](const SegmentInfo& a, const SegmentInfo& b) {
    return std::tie(a.sequence, a.base_offset, a.in_memory) <
           std::tie(b.sequence, b.base_offset, b.in_memory);
  };
  // Names are listed in order, and that is theirs but for sequences of more than ten digits.
  if (!std::is_sorted(segments.begin(), segments.end(), is_before)) {
    std::sort(segments.begin(), segments.end(), is_before);
  }
  if (!memory.empty()) SPILLWAY_CHECKED(drop_copies(env, segments));
  return segments;
}

}  // namespace

std::string segment_file_name(std::uint64_t sequence, std::uint64_t base_offset) {
  char name[64];
  std::snprintf(name, sizeof(name), "%010" PRIu64 "-%020" PRIu64 ".spill", sequence, base_offset);
  return name;
}

bool parse_segment_file_name(std::string_view name, std::uint64_t& sequence,
                             std::uint64_t& base_offset) {
  const std::size_t tail = 1 + kOffsetDigits + kSuffix.size();
  if (name.size() < kSequenceDigits + tail || name.size() > kOffsetDigits + tail) return false;
  const std::size_t digits = name.size() - tail;
  if (name[digits] != '-' || !name.ends_with(kSuffix)) return false;
  return parse_digits(name.substr(0, digits), sequence) &&
         parse_digits(name.substr(digits + 1, kOffsetDigits), base_offset);
}

Result<bool> inspect_segment(env::Env& env, SegmentInfo& info) {
  if (info.inspected) return true;
  info.inspected = true;
  return inspect(env, info);
}

Result<std::vector<SegmentInfo>> list_segments(env::Env& env, const std::string& directory) {
  SPILLWAY_TRY(named, name_segments(env, directory, Sizes::kNotWanted));
  std::vector<SegmentInfo> segments;
  for (SegmentInfo& info : named) {
    SPILLWAY_TRY(there, inspect_segment(env, info));
    if (there) segments.push_back(std::move(info));
  }
  return segments;
}

Result<std::vector<SegmentInfo>> list_segment_names(env::Env& env, const std::string& directory,
                                                    Sizes sizes) {
  SPILLWAY_TRY(segments, name_segments(env, directory, sizes));
  for (std::size_t index = segments.size(); index-- > 0;) {
    SPILLWAY_TRY(there, inspect_segment(env, segments[index]));
    if (there && segments[index].readable) break;
    if (!there) segments.erase(segments.begin() + static_cast<std::ptrdiff_t>(index));
  }
  return segments;
}

std::uint64_t end_limit(const std::vector<SegmentInfo>& segments, std::size_t index) {
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
  const bool foreign = is_foreign(segments[index]);
  for (std::size_t i = index + 1; i < segments.size(); ++i) {
    if (foreign && segments[i].readable && segments[i].journal() != segments[index].journal())
      break;
    limit = std::min(limit, segments[i].base_offset);
  }
  return limit;
}

void warm_file(env::Env& env, const std::string& path) {
  constexpr std::size_t kChunkBytes = 64 * 1024;
  auto file = env.open(path, env::OpenMode::kRead);
  if (!file) return;
  std::vector<std::byte> chunk(kChunkBytes);
  for (std::uint64_t at = 0;; at += kChunkBytes) {
    const auto got = (*file)->read(at, chunk);
    if (!got || *got < kChunkBytes) return;
  }
}

Result<std::unique_ptr<env::File>> make_blank_segment(env::Env& env, const std::string& path,
                                                      std::uint64_t bytes) {
  SPILLWAY_TRY(left_over, env.exists(path));
  if (left_over) SPILLWAY_CHECKED(env.remove(path));
  SPILLWAY_TRY(file, env.open(path, env::OpenMode::kCreateNew));
  if (auto allocated = file->allocate(bytes); !allocated) {
    // Half a file would hold the very space that is short.
    static_cast<void>(env.remove(path));
    return tl::unexpected(std::move(allocated).error());
  }
  return std::move(file);
}

}  // namespace spillway::core
