#include "edge-agent/ingest/api/target.h"

#include <algorithm>

#include "edge-agent/ingest/api/schema_store.h"

namespace spillway::agent::api {
namespace {

constexpr std::string_view kTopics = "/v1/topics/";
constexpr std::string_view kRecords = "/records";
constexpr std::string_view kSchemas = "/v1/schemas/";

TargetKind fixed_kind(std::string_view path) {
  if (path == "/v1/status") return TargetKind::kStatus;
  if (path == "/metrics") return TargetKind::kMetrics;
  return path == "/openapi.json" ? TargetKind::kOpenapi : TargetKind::kUnknown;
}

void read_query(std::string_view query, Target& target) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.starts_with("level=")) target.level = one.substr(6);
    if (one == "verdicts=all") target.all_verdicts = true;
  }
}

}  // namespace

std::optional<Target> parse_target(std::string_view text) {
  Target target;
  const std::size_t question = std::min(text.find('?'), text.size());
  std::string_view path = text.substr(0, question);
  if (question < text.size()) read_query(text.substr(question + 1), target);
  target.kind = fixed_kind(path);
  if (path.starts_with(kTopics) && path.ends_with(kRecords) &&
      path.size() > kTopics.size() + kRecords.size()) {
    target.kind = TargetKind::kRecords;
    path.remove_prefix(kTopics.size());
    path.remove_suffix(kRecords.size());
  } else if (path.starts_with(kSchemas)) {
    target.kind = TargetKind::kSchema;
    path.remove_prefix(kSchemas.size());
  } else {
    return target;
  }
  auto topic = unescape(path);
  if (!topic) return std::nullopt;
  target.topic = std::move(*topic);
  return target;
}

std::optional<Level> level_of(std::string_view word) {
  if (word.empty() || word == "accepted") return Level::kAccepted;
  if (word == "process-safe") return Level::kProcessSafe;
  return word == "power-safe" ? std::optional(Level::kPowerSafe) : std::nullopt;
}

}  // namespace spillway::agent::api
