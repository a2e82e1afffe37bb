// The files that an uplink may write: its cursors with what lies beside them (dead letters, known time,
// budgets), and its status. Pure; what its sandbox rests on.
#pragma once

#include <string>
#include <vector>

#include "spillway/core/config.h"

namespace spillway::uplink {

class OwnFiles {
 public:
  OwnFiles(const core::Config& config, const std::vector<core::UplinkConfig>& uplinks);

  /// `path` is absolute, without "." and "..". True also of the directory "cursors" itself.
  [[nodiscard]] bool holds(const std::string& path) const;

 private:
  [[nodiscard]] bool is_cursors_path(const std::string& path) const;
  [[nodiscard]] bool is_note(const std::string& path) const;

  std::vector<std::string> uplinks_;
  std::vector<std::string> spills_;  // directories of streams: of spill, memory and relays
  std::vector<std::string> notes_;   // what the names of further files begin with
};

}  // namespace spillway::uplink
