#include "spillway/core/schema.h"

#include <flatbuffers/reflection_generated.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/format/rules.h"

namespace spillway::core {

namespace {

constexpr flatbuffers::uoffset_t kDepthMax = 64;
/// A verifier counts a table each time that it is named: shared ones must not cost without end.
constexpr flatbuffers::uoffset_t kTablesMax = 32 * 1024;

/// Read as the number that stands there: as an enum, one that it does not have is undefined behaviour.
bool has_known_kinds(const reflection::Type* type) {
  if (type == nullptr) return true;
  const auto* table = reinterpret_cast<const flatbuffers::Table*>(type);
  const auto is_known = [table](flatbuffers::voffset_t field) {
    const auto kind = table->GetField<std::int8_t>(field, 0);
    return kind >= reflection::None && kind < reflection::MaxBaseType;
  };
  return is_known(reflection::Type::VT_BASE_TYPE) && is_known(reflection::Type::VT_ELEMENT);
}

bool has_known_kinds(const reflection::Object& object) {
  return std::all_of(object.fields()->begin(), object.fields()->end(),
                     [](const auto* field) { return has_known_kinds(field->type()); });
}

bool has_known_kinds(const reflection::Schema& schema) {
  const auto& objects = *schema.objects();
  const auto& enums = *schema.enums();
  return has_known_kinds(*schema.root_table()) &&
         std::all_of(objects.begin(), objects.end(),
                     [](const auto* object) { return has_known_kinds(*object); }) &&
         std::all_of(enums.begin(), enums.end(), [](const auto* one) {
           return std::all_of(one->values()->begin(), one->values()->end(), [](const auto* value) {
             return has_known_kinds(value->union_type());
           });
         });
}

}  // namespace

std::string fingerprint_text(std::uint64_t fingerprint) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, fingerprint);
  return text.data();
}

Result<void> check_schema(std::span<const std::byte> bfbs, std::size_t size_max) {
  if (bfbs.empty() || bfbs.size() > size_max) {
    return broken("a schema of " + std::to_string(bfbs.size()) + " bytes; 1 to " +
                  std::to_string(size_max) + " are taken");
  }
  // The verifier looks at alignment by address, and a block's bytes stand anywhere.
  std::vector<std::uint64_t> aligned(bfbs.size() / 8 + 1);
  std::memcpy(aligned.data(), bfbs.data(), bfbs.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(aligned.data());
  flatbuffers::Verifier verifier(bytes, bfbs.size(), kDepthMax, kTablesMax);
  if (!reflection::VerifySchemaBuffer(verifier)) {
    return broken("not a FlatBuffers binary schema (flatc -b --schema makes one)");
  }
  if (reflection::GetSchema(bytes)->root_table() == nullptr) {
    return broken("a schema that names no root_type");
  }
  if (!has_known_kinds(*reflection::GetSchema(bytes))) {
    return broken("a schema with a type that this version does not know");
  }
  return {};
}

}  // namespace spillway::core
