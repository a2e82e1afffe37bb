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
    for (const auto& mark : batch.marks) marks_[{mark.source, mark.partition}] = mark.position;
    if (batch.loose) {
      apply_loose(batch);
      continue;
    }
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
    add_lanes(batch, contents);
  }
}

void MemoryInbox::add_lanes(const InboxBatch& batch, Contents& contents) {
  for (const auto& lane : batch.lanes) {
    auto& totals = contents.lanes[lane.lane->lane_id];
    totals.lane = lane.lane;
    totals.lane_end = std::max(totals.lane_end, lane.lane_end);
    totals.records += lane.records;
    totals.closed = totals.closed || lane.closed;
  }
}

/// As simple as can be: the databases are compared with it.
void MemoryInbox::apply_loose(const InboxBatch& batch) {
  const Key key{batch.key.gateway, batch.key.journal, batch.key.stream};
  if (batch.runs.empty() && batch.gaps.empty() && batch.lanes.empty()) return;
  const bool is_new = !contents_.contains(key);
  Contents& contents = contents_[key];
  if (is_new) contents.next_offset = batch.key.journal_first_offset;
  const std::uint64_t seen_below = contents.next_offset;
  std::size_t at = 0;
  for (const auto& run : batch.runs) {
    for (std::uint32_t n = 0; n < run.count; ++n, ++at) {
      const auto& record = batch.records[at];
      if (run.first_offset + n < seen_below) continue;
      const std::string payload(reinterpret_cast<const char*>(record.payload.data()),
                                record.payload.size());
      const Row row{run.lane->topic, payload, record.produced_at_ns};
      if (contents.rows.try_emplace(run.first_offset + n, row).second) {
        ++contents.lanes[run.lane->lane_id].records;
      }
    }
  }
  for (const auto& gap : batch.gaps) {
    if (gap.next_offset > seen_below) contents.gaps.push_back(gap);
  }
  for (bool moved = true; moved;) {
    moved = contents.rows.contains(contents.next_offset);
    if (moved) ++contents.next_offset;
    for (const auto& gap : contents.gaps) {
      if (gap.first_offset > contents.next_offset || gap.next_offset <= contents.next_offset)
        continue;
      contents.next_offset = gap.next_offset;
      moved = true;
    }
  }
  if (contents.next_offset != seen_below) contents.last_record = 0;
  InboxBatch uncounted = batch;
  for (auto& lane : uncounted.lanes) lane.records = 0;
  add_lanes(uncounted, contents);
}

core::Result<std::vector<consumer::InboxMark>> MemoryInbox::marks(const std::string& source) {
  std::vector<consumer::InboxMark> found;
  for (const auto& [name, position] : marks_) {
    if (name.first == source) found.push_back({source, name.second, position});
  }
  return found;
}

}  // namespace spillway::uplink::test
