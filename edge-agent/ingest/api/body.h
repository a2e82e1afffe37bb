// Splits the body of a POST into the texts or bytes of its records; nothing of them is read yet.
//
// Pure functions over hostile bytes, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::agent::api {

enum class BodyKind : std::uint8_t {
  kJson,           // application/json: an object, or an array of objects
  kLines,          // application/x-ndjson: an object in each line
  kRecord,         // application/x-flatbuffers or application/octet-stream: one record
  kRecordsPrefix,  // application/x-flatbuffers-sequence: each behind its size, u32 little-endian
};

/// By the Content-Type, whose parameters do not count; nothing for what is not taken.
[[nodiscard]] std::optional<BodyKind> kind_of(std::string_view content_type);

/// The records' texts or bytes, in order, as views into `body`. kInvalidArgument where the body
/// cannot be told apart; kFull if there are more than `records_max`.
[[nodiscard]] core::Result<std::vector<std::string_view>> split_body(BodyKind kind,
                                                                     std::string_view body,
                                                                     std::size_t records_max);

}  // namespace spillway::agent::api
