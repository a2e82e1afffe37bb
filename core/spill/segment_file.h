// Segment files: their names, their headers, the list of them. Private to core/spill.
//
// Any thread. Shared by the writer's recovery, the reader and verify.
//
// A segment file is readable if and only if its header is valid (check_segment_header), or is once
// one flipped bit is flipped back (heal.h), and sequence and base offset in its name are those of its
// header. Anything else under such a name is unreadable: its name still tells from which offset on
// the segment before it no longer counts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"

namespace spillway::core {

struct SegmentInfo {
  std::string path;
  std::uint64_t sequence = 0;     // from the name
  std::uint64_t base_offset = 0;  // from the name
  std::uint64_t bytes = 0;        // the file's size; 0 until it was asked for
  bool inspected = false;         // its header was read: what follows says something
  bool readable = false;
  bool in_memory = false;  // it stands in the stream's directory in memory
  bool healed = false;     // one bit of the header on the disk is wrong; `header` is right
  std::string problem;     // why it is unreadable, or what was healed
  bool never_begun =
      false;  // unreadable because its header never reached the disk: a roll cut short
  format::SegmentHeader header;
  [[nodiscard]] Uuid journal() const { return uuid_of(*header.journal()); }
};

/// Sequences and offsets stay below. A name that says otherwise is no segment's: the number behind it would
/// overflow.
inline constexpr std::uint64_t kSegmentNumberEnd = 1ULL << 62;

/// Stored by a relay for another gateway (docs/format.md, 'Foreign streams').
[[nodiscard]] inline bool is_foreign(const SegmentInfo& info) {
  return info.readable && info.header.foreign() == 1;
}

/// "<sequence, 10 digits>-<base offset, 20 digits>.spill".
[[nodiscard]] std::string segment_file_name(std::uint64_t sequence, std::uint64_t base_offset);
[[nodiscard]] bool parse_segment_file_name(std::string_view name, std::uint64_t& sequence,
                                           std::uint64_t& base_offset);

/// All segments of a stream, in its directory and in the one in memory that belongs to it
/// (find_memory), by ascending sequence. While one moves it may stand in both: the disk's counts.
/// kNewerVersion if one of them is of a newer format. Where the disk answers nothing, those in memory are
/// the list if all that the stream holds is in them, else kIo.
[[nodiscard]] Result<std::vector<SegmentInfo>> list_segments(env::Env& env,
                                                             const std::string& directory);

/// Sizes are the writer's need, for the quota; a question for each file.
enum class Sizes : std::uint8_t { kNotWanted, kWanted };

/// The same by their names: a start costs no more reads with a thousand segments than with one.
/// Inspected are the newest one that is readable and those above it, which tells whether a newer
/// format was at work here: it begins a segment of its own before it writes anything else.
[[nodiscard]] Result<std::vector<SegmentInfo>> list_segment_names(env::Env& env,
                                                                  const std::string& directory,
                                                                  Sizes sizes = Sizes::kNotWanted);

/// Reads the header, unless that was done. False if the file is gone by now.
[[nodiscard]] Result<bool> inspect_segment(env::Env& env, SegmentInfo& info);

/// Where the records of segments[index] end at the latest: at the lowest base offset of a later
/// segment, because a later segment overrides an earlier one from its base offset on. The largest
/// u64 for the newest. In a foreign stream only segments of the same journal count, and they must have
/// been inspected.
[[nodiscard]] std::uint64_t end_limit(const std::vector<SegmentInfo>& segments, std::size_t index);

/// Makes a file of `bytes` zero bytes with its disk space reserved. What stood there is removed first.
[[nodiscard]] Result<std::unique_ptr<env::File>> make_blank_segment(env::Env& env,
                                                                    const std::string& path,
                                                                    std::uint64_t bytes);

/// Reads the file, so that a write into a part of a page need not wait for the disk. A hint: a file that
/// is gone is no error.
void warm_file(env::Env& env, const std::string& path);

}  // namespace spillway::core
