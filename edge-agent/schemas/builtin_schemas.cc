#include "edge-agent/schemas/builtin_schemas.h"

#include "spillway/core/fingerprint.h"
#include "spillway/schemas/change_bfbs.h"
#include "spillway/schemas/system_bfbs.h"
#include "spillway/schemas/text_bfbs.h"

namespace spillway::agent {
namespace {

BuiltinSchema make_schema(std::string_view name, std::span<const unsigned char> bytes) {
  const auto bfbs = std::as_bytes(bytes);
  return {name, bfbs, core::schema_fingerprint(bfbs)};
}

}  // namespace

const BuiltinSchema& text_schema() {
  static const BuiltinSchema schema = make_schema("text", schemas::kTextBfbs);
  return schema;
}

const BuiltinSchema& system_schema() {
  static const BuiltinSchema schema = make_schema("system", schemas::kSystemBfbs);
  return schema;
}

const BuiltinSchema& change_schema() {
  static const BuiltinSchema schema = make_schema("change", schemas::kChangeBfbs);
  return schema;
}

const BuiltinSchema* find_builtin_schema(std::uint64_t fingerprint) {
  for (const auto* schema : {&text_schema(), &system_schema(), &change_schema()}) {
    if (schema->fingerprint == fingerprint) return schema;
  }
  return nullptr;
}

}  // namespace spillway::agent
