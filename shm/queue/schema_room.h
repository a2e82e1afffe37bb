// The agent's side of <queue_dir>/schemas/: what producers left there is read, removed and kept within
// bounds. Private to shm.
//
// One thread. Anybody may have put anything there: nothing is followed, blocked on or believed.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::shm {

/// One user's schemas, at most: he who opens more kinds of producers than this loses the oldest, and
/// opening one again brings it back.
inline constexpr std::size_t kSchemasPerUserMax = 64;

[[nodiscard]] core::Result<std::vector<std::byte>> read_schema(const std::string& queue,
                                                               std::uint64_t fingerprint);
void remove_schema(const std::string& queue, std::uint64_t fingerprint);
void tidy_schemas(const std::string& queue, const std::set<std::uint64_t>& named);

}  // namespace spillway::shm
