// SchemaTable: the schemas that a stream's active segment holds and its next head repeats. Private to
// core/spill; one thread.
//
// Invariant: no fingerprint stands in it twice, and no schema that is larger than kSchemaBytesMax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/spill/lane_table.h"

namespace spillway::core {

struct KnownSchema {
  std::uint64_t fingerprint = 0;
  std::vector<std::byte> bfbs;
};

class SchemaTable {
 public:
  [[nodiscard]] const std::vector<KnownSchema>& all() const { return schemas_; }
  [[nodiscard]] bool contains(std::uint64_t fingerprint) const;
  void add(std::uint64_t fingerprint, std::span<const std::byte> bfbs);
  /// Learns from a schema block; others are passed over.
  void learn(const ScannedBlock& block);
  /// Forgets those that no lane of the table names.
  void keep_named(const LaneTable& lanes);
  void forget_newest() { schemas_.pop_back(); }
  /// What their blocks take in a segment.
  [[nodiscard]] std::uint64_t block_bytes_total() const;

 private:
  std::vector<KnownSchema> schemas_;  // few: producers of one kind share one
};

}  // namespace spillway::core
