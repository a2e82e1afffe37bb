// Ledger: what the consumer has ever committed, as seen from outside, and where journals began; no cursor
// may be ahead of it.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "spillway/core/uuid.h"

namespace spillway::sim {

class Ledger {
 public:
  void committed(const core::Uuid& gateway, const core::Uuid& journal, const std::string& stream,
                 std::uint64_t next_offset) {
    auto& highest = next_offsets_[{gateway, journal, stream}];
    highest = std::max(highest, next_offset);
  }
  [[nodiscard]] std::uint64_t next_offset(const core::Uuid& gateway, const core::Uuid& journal,
                                          const std::string& stream) const {
    const auto found = next_offsets_.find({gateway, journal, stream});
    return found == next_offsets_.end() ? 0 : found->second;
  }

 private:
  std::map<std::tuple<core::Uuid, core::Uuid, std::string>, std::uint64_t> next_offsets_;
};

}  // namespace spillway::sim
