#include "edge-agent/ingest/capture/resume.h"

#include <algorithm>

namespace spillway::agent::capture {

ResumePoint resume_topic(const SavedPosition& saved, const std::optional<TopicProgress>& page,
                         const std::optional<Key>& last_in_spill, bool complete) {
  ResumePoint point{std::max(saved.safe, last_in_spill.value_or(Key{}))};
  if (complete) return point;
  if (!page) {
    point.all_of_batch = saved.open;
    return point;
  }
  point.behind = std::max(point.behind, page->done);
  if (page->perhaps && *page->perhaps > point.behind) point.repeated_until = *page->perhaps;
  return point;
}

}  // namespace spillway::agent::capture
