// SpillSearch: what the spill still holds of a capture's records.
//
// One thread; reads the streams' files alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "edge-agent/ingest/capture/position_file.h"
#include "spillway/core/config.h"

namespace spillway::agent::capture {

struct SpillFindings {
  std::map<std::string, Key> last;  // by topic: of the capture's last record in the spill
  /// Nothing that the marks point at was freed, dropped or lost since.
  bool complete = true;
};

/// Looks through every stream, from its mark on, for records that this capture's lanes brought in this
/// epoch. kUnavailable: a stream is there, and no agent of this boot has opened it yet.
[[nodiscard]] core::Result<SpillFindings> search_spill(core::env::Env& env,
                                                       const core::Config& config,
                                                       const std::string& producer,
                                                       const SavedPosition& saved);

/// Where the streams end now: marks for records that are put from here on. Streams that the agent has
/// not opened in this boot are left out.
[[nodiscard]] std::vector<StreamMark> mark_streams(core::env::Env& env, const core::Config& config);

}  // namespace spillway::agent::capture
