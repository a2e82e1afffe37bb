// The schemas that Spillway's own producers use, as .bfbs bytes, and how a lane names them: by
// fingerprint.
//
// Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace spillway::agent {

struct BuiltinSchema {
  std::string_view name;
  std::span<const std::byte> bfbs;  // what `flatc -b --schema` makes of it
  std::uint64_t fingerprint = 0;    // core::schema_fingerprint of bfbs
};

[[nodiscard]] const BuiltinSchema& text_schema();
[[nodiscard]] const BuiltinSchema& system_schema();
[[nodiscard]] const BuiltinSchema& change_schema();
/// Null if the fingerprint is none of ours.
[[nodiscard]] const BuiltinSchema* find_builtin_schema(std::uint64_t fingerprint);

}  // namespace spillway::agent
