#include "edge-agent/ingest/capture/change_record.h"

#include <algorithm>
#include <array>

#include "spillway/core/topic.h"

namespace spillway::agent::capture {
namespace {

/// What a value, and a record, cost at most beside names and contents: tables, offsets, alignment.
constexpr std::size_t kValueBytes = 96;
constexpr std::size_t kRecordBytes = 256;
/// A slice that is smaller is left to the next part.
constexpr std::size_t kSliceMin = 64;

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = core::utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::array<const std::vector<Value>*, 3> lists_of(const Change& change) {
  return {&change.key_values, &change.old_values, &change.new_values};
}

/// An upper bound, without building it.
std::size_t size_of(const Change& change, std::size_t names) {
  std::size_t size = kRecordBytes + names + change.note.size();
  for (const auto* list : lists_of(change)) {
    for (const Value& value : *list) size += kValueBytes + value.column.size() + value.bytes.size();
  }
  return size;
}

}  // namespace

ChangeRecord::ChangeRecord(std::string database, std::size_t bytes_max)
    : database_(std::move(database)), bytes_max_(bytes_max) {}

core::Result<void> ChangeRecord::build(const Change& change, const Take& take) {
  if (size_of(change, database_.size() + change.table.size()) <= bytes_max_) {
    Part all;
    int number = 0;
    for (const auto* list : lists_of(change)) {
      for (const Value& value : *list) all.push_back({number, &value, 0, value.bytes.size()});
      ++number;
    }
    return take(0, build_part(change, all, 0, 1));
  }
  SPILLWAY_TRY(parts, split(change));
  const auto count = static_cast<std::uint32_t>(parts.size());
  for (std::uint32_t part = 0; part < count; ++part) {
    SPILLWAY_CHECKED(take(part, build_part(change, parts[part], part, count)));
  }
  return {};
}

core::Result<std::vector<ChangeRecord::Part>> ChangeRecord::split(const Change& change) const {
  const std::size_t fixed =
      kRecordBytes + database_.size() + change.table.size() + change.note.size();
  std::vector<Part> parts(1);
  std::size_t used = fixed;
  int number = 0;
  for (const auto* list : lists_of(change)) {
    for (const Value& value : *list) {
      const std::size_t names = kValueBytes + value.column.size();
      if (fixed + names + kSliceMin > bytes_max_) {
        return core::fail(core::ErrorCode::kInvalidArgument,
                          "a change of table " + std::string(change.table) +
                              " does not fit into records of " + std::to_string(bytes_max_) +
                              " bytes, for its names alone are too long: raise max_record_bytes");
      }
      std::size_t at = 0;
      do {
        const std::size_t wanted = value.bytes.size() - at;
        if (used + names + std::min(wanted, kSliceMin) > bytes_max_) {
          parts.emplace_back();
          used = fixed;
        }
        const std::size_t size = std::min(wanted, bytes_max_ - used - names);
        parts.back().push_back({number, &value, at, size});
        used += names + size;
        at += size;
      } while (at < value.bytes.size());
    }
    ++number;
  }
  return parts;
}

flatbuffers::Offset<change::Value> ChangeRecord::build_value(const Slice& slice) {
  const Value& value = *slice.value;
  const auto column = builder_.CreateString(value.column.data(), value.column.size());
  const bool has_bytes = value.kind == change::Kind::text || value.kind == change::Kind::blob;
  const bool whole = slice.size == value.bytes.size();
  const std::string_view bytes = std::string_view(value.bytes).substr(slice.at, slice.size);
  flatbuffers::Offset<flatbuffers::String> text;
  flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> blob;
  // A slice may end within a character.
  if (has_bytes && value.kind == change::Kind::text && whole && is_utf8(bytes)) {
    text = builder_.CreateString(bytes.data(), bytes.size());
  } else if (has_bytes) {
    blob = builder_.CreateVector(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  change::ValueBuilder table(builder_);
  table.add_column(column);
  table.add_kind(value.kind);
  table.add_integer(value.integer);
  table.add_real(value.real);
  if (!text.IsNull()) table.add_text(text);
  if (!blob.IsNull()) table.add_blob(blob);
  if (!whole) {
    table.add_at(slice.at);
    table.add_size(value.bytes.size());
  }
  return table.Finish();
}

std::span<const std::byte> ChangeRecord::build_part(const Change& change, const Part& slices,
                                                    std::uint32_t part, std::uint32_t parts) {
  builder_.Clear();
  for (Offsets& list : lists_) list.clear();
  for (const Slice& slice : slices) {
    lists_.at(static_cast<std::size_t>(slice.list)).push_back(build_value(slice));
  }
  const auto vector_of = [this](const Offsets& list) {
    return list.empty()
               ? flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<change::Value>>>()
               : builder_.CreateVector(list);
  };
  const auto keys = vector_of(lists_[0]);
  const auto olds = vector_of(lists_[1]);
  const auto news = vector_of(lists_[2]);
  const auto database = builder_.CreateString(database_);
  const auto table = builder_.CreateString(change.table.data(), change.table.size());
  flatbuffers::Offset<flatbuffers::String> note;
  if (!change.note.empty()) note = builder_.CreateString(change.note);
  change::ChangeBuilder root(builder_);
  root.add_database(database);
  root.add_table(table);
  root.add_operation(change.operation);
  root.add_transaction(change.transaction);
  root.add_transaction_end(change.transaction_end && part + 1 == parts);
  root.add_commit_time_us(change.commit_time_us);
  root.add_epoch(epoch_);
  root.add_position(change.key.position);
  root.add_index(change.key.index);
  root.add_part(part);
  root.add_parts(parts);
  root.add_maybe_repeated(maybe_repeated_);
  if (!keys.IsNull()) root.add_key(keys);
  if (!olds.IsNull()) root.add_old(olds);
  if (!news.IsNull()) root.add_new_(news);
  if (!note.IsNull()) root.add_note(note);
  change::FinishChangeBuffer(builder_, root.Finish());
  return std::as_bytes(std::span(builder_.GetBufferPointer(), builder_.GetSize()));
}

}  // namespace spillway::agent::capture
