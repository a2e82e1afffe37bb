// Where a capture goes on after its death: decided from what it saved, what its page says and what the
// spill holds. Pure functions.
//
//  saved.safe       all up to there has arrived and is safe (position_file.h)
//  page             after a kill: which record of the topic was put last; the one after it perhaps
//  findings.last    the topic's last record in the spill, once all lanes of the dead capture are drained
//  findings.complete  nothing that the spill has held since then is gone
//
//   spill complete                              -> behind what the spill holds: it tells all
//   not complete, page of this boot             -> behind what was put (and was therefore delivered),
//                                                  or behind what the spill holds, if that is further;
//                                                  the one that was perhaps put is repeated, and says so
//   not complete, no page, nothing was open     -> behind saved.safe
//   not complete, no page, a batch was open     -> behind what the spill holds; what is left of that
//                                                  batch says that it may be repeated
//
// The last two need a loss of power in mid-batch whose records are delivered and freed before the
// capture has started again. A kill alone never repeats a record but the one of which it cannot be known
// whether its last store was made, and that only if its segment is freed before the next start.
#pragma once

#include <optional>

#include "edge-agent/ingest/capture/progress_page.h"
#include "edge-agent/ingest/capture/spill_search.h"

namespace spillway::agent::capture {

struct ResumePoint {
  Key behind;                 // records of the topic up to here are not put again
  Key repeated_until{};       // those up to here say that they may be repeated; {0,0,0}: none does
  bool all_of_batch = false;  // so does every record of the first batch
};

[[nodiscard]] ResumePoint resume_topic(const SavedPosition& saved,
                                       const std::optional<TopicProgress>& page,
                                       const std::optional<Key>& last_in_spill, bool complete);

}  // namespace spillway::agent::capture
