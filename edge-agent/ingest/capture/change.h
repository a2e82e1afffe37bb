// Change: one change of a row, as a source gives it to the capture.
//
// Names and values are views into what `keeper` holds, or into the batch's own text: nothing is copied
// on the way into the record.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/schemas/change_generated.h"

namespace spillway::agent::capture {

/// Where a record stands in its source's history: ascending within an epoch, over all its tables.
struct Key {
  std::uint64_t position = 0;
  std::uint64_t index = 0;
  std::uint32_t part = 0;

  friend auto operator<=>(const Key&, const Key&) = default;
};
/// Behind the last part of a change.
inline constexpr std::uint32_t kLastPart = 0xFFFFFFFF;

[[nodiscard]] inline std::string text_of(const Key& key) {
  return std::to_string(key.position) + "." + std::to_string(key.index);
}

struct Value {
  std::string_view column;
  change::Kind kind = change::Kind::nothing;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes;  // of text and blob
};

struct Change {
  Key key;  // its part is not used
  change::Operation operation = change::Operation::insert;
  std::string_view table;
  std::uint64_t transaction = 0;
  bool transaction_end = false;
  std::int64_t commit_time_us = 0;
  std::vector<Value> key_values;
  std::vector<Value> old_values;
  std::vector<Value> new_values;
  std::string note;
  std::shared_ptr<const void> keeper;  // of the names
};

}  // namespace spillway::agent::capture
