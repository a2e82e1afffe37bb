#include "spillway/core/schema.h"

#include <flatbuffers/reflection_generated.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/format/checksum.h"
#include "core/format/rules.h"

namespace spillway::core {

namespace {

constexpr flatbuffers::uoffset_t kDepthMax = 64;
/// A verifier counts a table each time that it is named: shared ones must not cost without end.
constexpr flatbuffers::uoffset_t kTablesMax = 32 * 1024;

}  // namespace

std::uint64_t schema_fingerprint(std::span<const std::byte> bfbs) {
  const std::uint64_t fingerprint = xxh3(bfbs, 0);
  return fingerprint == 0 ? 1 : fingerprint;
}

std::string fingerprint_text(std::uint64_t fingerprint) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, fingerprint);
  return text.data();
}

Result<void> check_schema(std::span<const std::byte> bfbs) {
  if (bfbs.empty() || bfbs.size() > kSchemaBytesMax) {
    return broken("a schema of " + std::to_string(bfbs.size()) + " bytes; 1 to " +
                  std::to_string(kSchemaBytesMax) + " are taken");
  }
  // The verifier looks at alignment by address, and a block's bytes stand anywhere.
  std::vector<std::uint64_t> aligned((bfbs.size() + 7) / 8);
  std::memcpy(aligned.data(), bfbs.data(), bfbs.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(aligned.data());
  flatbuffers::Verifier verifier(bytes, bfbs.size(), kDepthMax, kTablesMax);
  if (!reflection::VerifySchemaBuffer(verifier)) {
    return broken("not a FlatBuffers binary schema (flatc -b --schema makes one)");
  }
  if (reflection::GetSchema(bytes)->root_table() == nullptr) {
    return broken("a schema that names no root_type");
  }
  return {};
}

}  // namespace spillway::core
