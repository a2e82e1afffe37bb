// RecordJudge: which records a consumer cannot apply, and why. Such a record becomes a dead letter in
// the inbox; the rest of its batch goes on.
//
// One thread, no I/O. One for each stream of a session: a schema is trusted to explain the records of
// the peer who brought it, and nobody else's.
//
// Invariants:
//  1. What cannot be checked is no reason to refuse: a lane without a schema, one whose schema did not
//     come or cannot be used, and all beyond kSchemasMax pass.
//  2. Its memory is bounded: kSchemasMax schemas of at most kSchemaBytesMax, and none unless they are
//     to be verified.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "spillway/core/format.h"
#include "spillway/core/record_json.h"

namespace spillway::consumer {

struct RecordRules {
  /// A larger record is not applied; so much of it is kept.
  std::uint64_t max_record_bytes = core::kRecordBytesLimit;
  bool verify_schema = false;  // each record by its lane's schema; costs a walk through it
};

class RecordJudge {
 public:
  static constexpr std::size_t kSchemasMax = 64;

  explicit RecordJudge(RecordRules rules) : rules_(rules) {}

  [[nodiscard]] const RecordRules& rules() const { return rules_; }
  /// A schema that has passed core::check_schema.
  void learn(std::uint64_t fingerprint, std::span<const std::byte> bfbs);
  /// Why this record, of a lane that names this schema (0: none), cannot be applied; nothing if it
  /// can.
  [[nodiscard]] std::optional<std::string> complaint(std::uint64_t schema_fingerprint,
                                                     std::span<const std::byte> record);

 private:
  RecordRules rules_;
  std::map<std::uint64_t, std::unique_ptr<core::RecordJson>> schemas_;
};

}  // namespace spillway::consumer
