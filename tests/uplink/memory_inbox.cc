#include "uplink/memory_inbox.h"

#include <algorithm>

namespace spillway::uplink::test {

using consumer::InboxBatch;

core::Result<std::optional<consumer::StoredPosition>> MemoryInbox::position(
    const consumer::InboxKey& key) {
  const auto found = contents_.find({key.gateway, key.journal, key.stream});
  if (found == contents_.end()) return std::optional<consumer::StoredPosition>();
  return std::optional(
      consumer::StoredPosition(found->second.next_offset, found->second.last_record));
}

void MemoryInbox::commit(std::span<const InboxBatch> batches,
                         std::vector<core::Result<void>>& outcomes) {
  outcomes.assign(batches.size(), {});
  if (failures_ > 0) {
    --failures_;
    outcomes.assign(batches.size(), core::fail(core::ErrorCode::kFull, "the disk is full"));
    return;
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const InboxBatch& batch = batches[i];
    const Key key{batch.key.gateway, batch.key.journal, batch.key.stream};
    const auto found = contents_.find(key);
    const bool fits = batch.begins
                          ? found == contents_.end()
                          : found != contents_.end() && found->second.next_offset == batch.from;
    if (!fits) {
      outcomes[i] = core::fail(core::ErrorCode::kBusy, "not the stored position");
      continue;
    }
    Contents& contents = contents_[key];
    contents.next_offset = batch.next;
    contents.last_record = batch.last_record;
    std::size_t at = 0;
    for (const auto& run : batch.runs) {
      for (std::uint32_t n = 0; n < run.count; ++n, ++at) {
        const auto& record = batch.records[at];
        const std::string payload(reinterpret_cast<const char*>(record.payload.data()),
                                  record.payload.size());
        if (!contents.rows
                 .try_emplace(run.first_offset + n,
                              Row{run.lane->topic, payload, record.produced_at_ns})
                 .second) {
          ++doubled_;
        }
      }
    }
    contents.gaps.insert(contents.gaps.end(), batch.gaps.begin(), batch.gaps.end());
    for (const auto& lane : batch.lanes) {
      auto& totals = contents.lanes[lane.lane->lane_id];
      totals.lane = lane.lane;
      totals.lane_end = std::max(totals.lane_end, lane.lane_end);
      totals.records += lane.records;
      totals.closed = totals.closed || lane.closed;
    }
  }
}

}  // namespace spillway::uplink::test
