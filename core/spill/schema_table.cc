#include "core/spill/schema_table.h"

#include <algorithm>
#include <unordered_set>

#include "core/spill/segment_writer.h"
#include "spillway/core/schema.h"

namespace spillway::core {

namespace {

/// A segment may hold the schemas of lanes that have long ended. More than this is not kept of it:
/// what a living lane wants beyond that its next agent puts in again.
constexpr std::uint64_t kLearnedBytesMax = 8U << 20;

}  // namespace

bool SchemaTable::contains(std::uint64_t fingerprint) const {
  return std::any_of(schemas_.begin(), schemas_.end(), [fingerprint](const auto& schema) {
    return schema.fingerprint == fingerprint;
  });
}

void SchemaTable::add(std::uint64_t fingerprint, std::span<const std::byte> bfbs) {
  if (!contains(fingerprint)) schemas_.push_back({fingerprint, {bfbs.begin(), bfbs.end()}});
}

void SchemaTable::learn(const ScannedBlock& block) {
  if (block.kind() != format::BlockKind::schema || block.stored.size() > kSchemaBytesMax) return;
  if (block_bytes_total() + block_bytes(block.stored.size()) > kLearnedBytesMax) return;
  add(schema_fingerprint(block.stored), block.stored);
}

void SchemaTable::keep_named(const LaneTable& lanes) {
  std::unordered_set<std::uint64_t> named;
  for (const auto& lane : lanes.all()) named.insert(lane.identity.schema_fingerprint());
  std::erase_if(schemas_,
                [&named](const auto& schema) { return !named.contains(schema.fingerprint); });
}

std::uint64_t SchemaTable::block_bytes_total() const {
  std::uint64_t bytes = 0;
  for (const auto& schema : schemas_) bytes += block_bytes(schema.bfbs.size());
  return bytes;
}

}  // namespace spillway::core
