#include "uplink/consumer/session/record_judge.h"

#include "spillway/core/schema.h"

namespace spillway::consumer {

namespace {

/// A few bytes can stand for millions of values (offsets that point to one place): nobody's records may
/// hold up the others' for so long. Sixteen a byte, and a table full of defaults, are more than honest
/// ones have.
std::size_t values_max(std::size_t record_bytes) { return 65'536 + 16 * record_bytes; }

}  // namespace

void RecordJudge::learn(std::uint64_t fingerprint, std::span<const std::byte> bfbs) {
  if (!rules_.verify_schema || schemas_.size() >= kSchemasMax) return;
  if (auto schema = core::RecordJson::make(bfbs)) {
    schemas_.try_emplace(fingerprint, std::move(schema));
  }
}

std::optional<std::string> RecordJudge::complaint(std::uint64_t schema_fingerprint,
                                                  std::span<const std::byte> record) {
  if (record.size() > rules_.max_record_bytes) {
    return "it has " + std::to_string(record.size()) + " bytes, [consumer] max_record_bytes is " +
           std::to_string(rules_.max_record_bytes);
  }
  if (!rules_.verify_schema || schema_fingerprint == 0) return std::nullopt;
  const auto schema = schemas_.find(schema_fingerprint);
  if (schema == schemas_.end() || schema->second->print(record, values_max(record.size()))) {
    return std::nullopt;
  }
  return "it does not verify against its schema " + core::fingerprint_text(schema_fingerprint);
}

}  // namespace spillway::consumer
