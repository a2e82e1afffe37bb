// Whether a topic may go over from one schema to another: readers of either must understand records
// of either, as FlatBuffers' rules of evolution have it.
//
// Pure, any thread. Both have passed check_meaning.
#pragma once

#include <optional>
#include <span>
#include <string>

namespace spillway::agent::api {

/// Nothing if it may; else the first thing that forbids it: "table Reading: field value was float and
/// is now double".
///
/// Allowed: fields appended to tables (not required ones), fields deprecated, values appended to enums
/// and unions, new tables, structs and enums. Everything else that records are made of stays.
[[nodiscard]] std::optional<std::string> why_incompatible(std::span<const std::byte> before,
                                                          std::span<const std::byte> after);

}  // namespace spillway::agent::api
