// What a reader learns beside the segments' blocks: the control page, the reasons of gaps, a
// segment's end. Private to core/spill; one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/spill/segment_file.h"
#include "spillway/core/gap_table.h"
#include "spillway/core/stream_reader.h"

namespace spillway::core {

/// The control page, mapped read-only as soon as it is there.
class ControlView {
 public:
  ControlView(env::Env& env, std::string directory) : env_(env), directory_(std::move(directory)) {}
  /// Nothing unless an agent of this boot wrote it.
  [[nodiscard]] std::optional<format::StreamControl> load();

 private:
  env::Env& env_;
  std::string directory_;
  std::unique_ptr<env::Mapping> map_;
};

/// Why [first, next) cannot be read, piece by piece: as the gap table says; where it says nothing,
/// `damage`, or `none` (released after delivery) below `oldest`, the offset at which what is held
/// begins.
[[nodiscard]] Result<std::vector<Gap>> missing_between(env::Env& env, const std::string& directory,
                                                       std::uint64_t first, std::uint64_t next,
                                                       std::uint64_t oldest);

/// The journals of listed segments, ascending. A journal is unbroken, so where both ends of a stretch
/// are of one, all of it is: headers are read by halving, not one by one. `newest_end`: where the
/// newest one ends, if that is known; else its last segment is walked.
[[nodiscard]] Result<std::vector<JournalRange>> journals_of(
    env::Env& env, std::vector<SegmentInfo>& segments,
    std::optional<std::uint64_t> newest_end = std::nullopt);

/// The offset behind the last record of a segment, by a walk over it.
[[nodiscard]] Result<std::uint64_t> end_of_segment(env::Env& env, const SegmentInfo& info);

}  // namespace spillway::core
