#include "tests/sim/checked_source.h"

namespace spillway::sim {

using core::Result;

Result<std::optional<core::StreamItem>> CheckedSource::next() {
  auto item = inner_->next();
  if (!item || !*item) return item;
  if (context_.mutant == Mutant::kGapKeptBack && std::holds_alternative<core::Gap>(**item)) {
    return next();
  }
  if (const auto* block = std::get_if<core::Block>(&**item);
      block != nullptr && context_.mutant == Mutant::kCursorRunsAhead) {
    const std::uint64_t end = block->header.base_offset() + block->header.count();
    static_cast<void>(inner_->acknowledge({block->journal, block->journal_sequence, end}));
  }
  return item;
}

Result<void> CheckedSource::acknowledge(const core::CursorPosition& position) {
  if (!is_committed(position)) {
    context_.trace.find("stream " + name() + ": offset " + std::to_string(position.next_offset) +
                        " was acknowledged and not committed");
  }
  return inner_->acknowledge(position);
}

Result<std::vector<core::JournalRange>> CheckedSource::journals() {
  auto ranges = inner_->journals();
  if (!ranges) return ranges;
  // Below its begin there is nothing of a journal, also when it is no longer held.
  for (const auto& range : *ranges) {
    ledger_.committed(gateway_, range.journal, name(), range.first_offset);
  }
  return ranges;
}

bool CheckedSource::is_committed(const core::CursorPosition& position) const {
  return position.next_offset <= ledger_.next_offset(gateway_, position.journal, name());
}

}  // namespace spillway::sim
