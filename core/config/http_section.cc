// [uplink.http]
#include <array>

#include "core/config/engine_section.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 2> kKeys{"batch_records", "batch_bytes"};
constexpr std::uint64_t kBatchRecordsMax = 100'000;
constexpr std::uint64_t kBatchBytesMin = 1024;
constexpr std::uint64_t kBatchBytesMax = 64ULL << 20;

}  // namespace

Result<void> read_http(const TableReader& reader, const std::string& path, EngineConfig& engine) {
  SPILLWAY_TRY(table, reader.table("http"));
  if (table == nullptr) return {};
  HttpConfig& config = engine.http;
  const TableReader own(*table, "[uplink.http]", path);
  SPILLWAY_CHECKED(own.check_keys({kKeys, {}}));
  SPILLWAY_CHECKED(own.read_count("batch_records", config.batch_records));
  SPILLWAY_CHECKED(own.read_bytes("batch_bytes", config.batch_bytes));
  if (config.batch_records > kBatchRecordsMax) {
    return own.complain("batch_records", "batch_records must be from 1 to 100000");
  }
  if (config.batch_bytes >= kBatchBytesMin && config.batch_bytes <= kBatchBytesMax) return {};
  return own.complain("batch_bytes", "batch_bytes must be from \"1KiB\" to \"64MiB\"");
}

}  // namespace spillway::core
