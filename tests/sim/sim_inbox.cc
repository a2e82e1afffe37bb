#include "tests/sim/sim_inbox.h"

#include <utility>

namespace spillway::sim {

using consumer::InboxBatch;
using core::Result;

Result<std::optional<consumer::StoredPosition>> SimInbox::position(const consumer::InboxKey& key) {
  auto position = model_.position(key);
  if (twin_) {
    const auto other = twin_->position(key);
    if (!other || *other != *position) {
      context_.trace.find("SQLite's position differs from the model's: stream " + key.stream);
    }
  }
  return position;
}

void SimInbox::commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) {
  if (full_ || std::exchange(fails_once_, false)) {
    outcomes.assign(batches.size(), core::fail(core::ErrorCode::kFull, "the disk is full"));
    return;
  }
  if (context_.mutant == Mutant::kAckBeforeCommit) {
    std::vector<Result<void>> ignored;
    apply(noted_, ignored);
    noted_.assign(batches.begin(), batches.end());
    outcomes.assign(batches.size(), {});
    return;
  }
  if (context_.mutant == Mutant::kNoPositionCheck) {
    outcomes.assign(batches.size(), {});
    for (InboxBatch batch : batches) {
      const auto stored = *model_.position(batch.key);
      batch.begins = !stored;
      if (stored) batch.from = stored->next_offset;
      std::vector<Result<void>> ignored;
      apply({&batch, 1}, ignored);
    }
    return;
  }
  apply(batches, outcomes);
  compare_twin(batches, outcomes);
}

void SimInbox::apply(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) {
  model_.commit(batches, outcomes);
  for (const InboxBatch& batch : batches) {
    const auto position = model_.position(batch.key);
    if (!position || !*position) continue;
    ledger_.committed(batch.key.gateway, batch.key.journal, batch.key.stream,
                      (*position)->next_offset);
  }
  if (model_.doubled() != 0) context_.trace.find("a record was stored twice");
}

void SimInbox::compare_twin(std::span<const InboxBatch> batches,
                            const std::vector<Result<void>>& outcomes) {
  if (!twin_) return;
  std::vector<Result<void>> others;
  twin_->commit(batches, others);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (others[i].has_value() == outcomes[i].has_value()) continue;
    context_.trace.find("SQLite and the model differ over a batch of stream " +
                        batches[i].key.stream +
                        (others[i] ? "" : ": " + others[i].error().message));
  }
}

bool SimInbox::restore() {
  if (!backup_ || twin_) return false;
  for (const auto& [key, contents] : model_.all()) {
    for (const auto& [offset, row] : contents.rows) {
      forgotten_.insert(std::hash<std::string>{}(row.payload));
    }
    const auto& [gateway, journal, stream] = key;
    const auto kept = backup_->find(key);
    const std::size_t known = kept == backup_->end() ? 0 : kept->second.gaps.size();
    if (contents.gaps.size() > known) forgotten_gaps_.insert({gateway, stream});
  }
  model_.restore(*backup_);
  return true;
}

}  // namespace spillway::sim
