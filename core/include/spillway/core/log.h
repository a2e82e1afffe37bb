// The daemons' log: one line an event to standard error, in the words of docs/operations.md.
// (spdlog behind it.)
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace spillway::core {

/// Call once, first thing in main. `program` stands in each line;
/// SPILLWAY_LOG=debug|info|warn|error sets the level.
void start_log(const std::string& program);

}  // namespace spillway::core
