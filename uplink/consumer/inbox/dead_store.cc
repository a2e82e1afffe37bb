#include "uplink/consumer/inbox/dead_store.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "spillway/core/uuid.h"

namespace spillway::consumer {

using core::Result;

std::optional<RecordName> RecordName::parse(std::string_view text) {
  RecordName name;
  for (std::string* part : {&name.gateway, &name.journal, &name.stream}) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    *part = text.substr(0, slash);
    text.remove_prefix(slash + 1);
  }
  const char* end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, name.offset);
  const bool sound = error == std::errc() && read == end && core::Uuid::parse(name.gateway) &&
                     core::Uuid::parse(name.journal) && !name.stream.empty();
  return sound ? std::optional(name) : std::nullopt;
}

std::string RecordName::text() const {
  return gateway + "/" + journal + "/" + stream + "/" + std::to_string(offset);
}

Result<std::uint64_t> DeadStore::requeue(const DeadFilter& filter) {
  return change_all(filter, Change::kRequeue);
}

Result<std::uint64_t> DeadStore::drop(const DeadFilter& filter) {
  return change_all(filter, Change::kDrop);
}

Result<std::uint64_t> DeadStore::change_all(const DeadFilter& filter, Change what) {
  SPILLWAY_TRY(rows, list(filter, std::numeric_limits<std::size_t>::max()));
  if (what == Change::kRequeue) {
    std::erase_if(rows, [](const DeadRow& row) { return row.kept_bytes < row.record_bytes; });
  }
  std::uint64_t changed = 0;
  for (std::size_t at = 0; at < rows.size(); at += kRowsPerTransaction) {
    const auto some =
        std::span<const DeadRow>(rows).subspan(at, std::min(kRowsPerTransaction, rows.size() - at));
    SPILLWAY_TRY(count, change(some, what));
    changed += count;
  }
  return changed;
}

}  // namespace spillway::consumer
