// [uplink.nats]
#include <array>

#include "core/config/engine_section.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 7> kKeys{
    "subject", "stream", "subjects", "replicas", "duplicate_window", "max_bytes", "max_age"};
constexpr std::uint64_t kReplicasMax = 5;  // JetStream's own

}  // namespace

Result<void> read_nats(const TableReader& reader, const std::string& path, EngineConfig& engine) {
  SPILLWAY_TRY(table, reader.table("nats"));
  if (table == nullptr) return {};
  NatsConfig& config = engine.nats;
  const TableReader own(*table, "[uplink.nats]", path);
  SPILLWAY_CHECKED(own.check_keys({kKeys, {}}));
  SPILLWAY_CHECKED(own.read("subject", config.subject));
  SPILLWAY_CHECKED(own.read("stream", config.stream));
  SPILLWAY_CHECKED(own.read("subjects", config.subjects));
  SPILLWAY_CHECKED(own.read_count("replicas", config.replicas));
  SPILLWAY_CHECKED(own.read_duration("duplicate_window", config.duplicate_window_ns));
  SPILLWAY_CHECKED(own.read_bytes("max_bytes", config.max_bytes));
  SPILLWAY_CHECKED(own.read_duration("max_age", config.max_age_ns));
  SPILLWAY_CHECKED(check_template(own, "subject", config.subject));
  if (config.subject.find_first_of(" \t*>") != std::string::npos) {
    return own.complain("subject", "subject names one subject: no blanks and no wildcards");
  }
  if (config.stream.empty() || config.stream.find_first_of(" \t.*>/\\") != std::string::npos) {
    return own.complain("stream",
                        "stream is a JetStream name: no blanks, dots, slashes or wildcards");
  }
  if (config.replicas <= kReplicasMax) return {};
  return own.complain("replicas", "replicas must be from 1 to 5");
}

}  // namespace spillway::core
