// The StreamReader of a foreign stream: its segments one after the other, each journal for itself.
// Private to core/spill; one thread.
#pragma once

#include <memory>
#include <string>

#include "spillway/core/stream_reader.h"

namespace spillway::core {

/// At the oldest record. The directory holds a foreign stream (is_foreign).
[[nodiscard]] Result<std::unique_ptr<StreamReader>> open_foreign_reader(
    env::Env& env, const std::string& directory);

}  // namespace spillway::core
