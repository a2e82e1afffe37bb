// [uplink.kafka]
#include <algorithm>
#include <array>

#include "core/config/engine_section.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 9> kKeys{
    "topic", "compression", "transactions", "commit_interval", "message_bytes_max",
    "sasl",  "partitions",  "replication",  "retention"};
constexpr std::array<std::string_view, 5> kCompressions{"none", "gzip", "snappy", "lz4", "zstd"};
/// A Kafka topic's name.
constexpr std::size_t kTopicBytesMax = 249;
constexpr std::string_view kTopicLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
constexpr std::uint64_t kMillisecondNs = 1'000'000;
constexpr std::uint64_t kCommitNsMax = 10'000 * kMillisecondNs;
constexpr std::uint64_t kMessageBytesMin = 1024;
constexpr std::uint64_t kMessageBytesMax = 1'000'000'000;
constexpr std::uint64_t kPartitionsMax = 10'000;
constexpr std::uint64_t kReplicationMax = 100;
/// Outcomes come with the commits: a window of so many lets transactions grow while it drains.
constexpr std::uint64_t kWindowMessages = 16'384;

Result<void> check_topic(const TableReader& reader, const std::string& text) {
  std::string_view rest = text;
  bool fits = !text.empty() && text.size() <= kTopicBytesMax && text != "." && text != "..";
  while (fits && !rest.empty()) {
    std::size_t taken = kTopicLetters.find(rest.front()) == std::string_view::npos ? 0 : 1;
    for (const std::string_view word : {"{gateway}", "{stream}", "{topic}"}) {
      if (rest.starts_with(word)) taken = word.size();
    }
    fits = taken != 0;
    rest.remove_prefix(taken);
  }
  if (fits) return {};
  return reader.complain("topic",
                         "topic must be 1 to 249 letters, digits, dots, dashes and underscores; "
                         "{gateway}, {stream} and {topic} are filled in");
}

Result<void> read_set_up(const TableReader& own, KafkaConfig& config) {
  SPILLWAY_CHECKED(own.read_count("partitions", config.partitions));
  SPILLWAY_CHECKED(own.read_count("replication", config.replication));
  SPILLWAY_CHECKED(own.read_duration("retention", config.retention_ns));
  if (config.partitions == 0 || config.partitions > kPartitionsMax) {
    return own.complain("partitions", "partitions must be from 1 to 10000");
  }
  if (config.replication > kReplicationMax) {
    return own.complain("replication", "replication must be from 1 to 100");
  }
  if (config.retention_ns == 0 || config.retention_ns >= kMillisecondNs) return {};
  return own.complain("retention", "retention must be at least \"1ms\"");
}

}  // namespace

Result<void> read_word(const TableReader& reader, std::string_view key,
                       std::span<const std::string_view> words, std::string& out) {
  SPILLWAY_CHECKED(reader.read(key, out));
  if (std::find(words.begin(), words.end(), out) != words.end()) return {};
  std::string message = std::string(key) + " must be one of";
  for (const std::string_view word : words) message += " \"" + std::string(word) + "\"";
  return reader.complain(key, message);
}

Result<void> read_sasl(const TableReader& reader, std::string& out) {
  static constexpr std::array<std::string_view, 3> kMechanisms{"plain", "scram-sha-256",
                                                               "scram-sha-512"};
  return read_word(reader, "sasl", kMechanisms, out);
}

Result<void> read_kafka(const TableReader& reader, const std::string& path, EngineConfig& engine) {
  KafkaConfig& config = engine.kafka;
  if (!reader.has("window_messages")) engine.window_messages = kWindowMessages;
  config.tls = reader.has("tls");  // an empty table: with the system's authorities
  SPILLWAY_TRY(table, reader.table("kafka"));
  if (table == nullptr) return {};
  const TableReader own(*table, "[uplink.kafka]", path);
  SPILLWAY_CHECKED(own.check_keys({kKeys, {}}));
  SPILLWAY_CHECKED(own.read("topic", config.topic));
  SPILLWAY_CHECKED(check_topic(own, config.topic));
  SPILLWAY_CHECKED(read_word(own, "compression", kCompressions, config.compression));
  SPILLWAY_CHECKED(read_sasl(own, config.sasl));
  SPILLWAY_CHECKED(own.read_truth("transactions", config.transactions));
  SPILLWAY_CHECKED(own.read_duration("commit_interval", config.commit_interval_ns));
  if (config.commit_interval_ns < kMillisecondNs || config.commit_interval_ns > kCommitNsMax) {
    return own.complain("commit_interval", "commit_interval must be from \"1ms\" to \"10s\"");
  }
  SPILLWAY_CHECKED(own.read_bytes("message_bytes_max", config.message_bytes_max));
  const bool fits =
      config.message_bytes_max >= kMessageBytesMin && config.message_bytes_max <= kMessageBytesMax;
  if (config.message_bytes_max != 0 && !fits) {
    return own.complain("message_bytes_max", "message_bytes_max must be from \"1KiB\" to \"1GB\"");
  }
  return read_set_up(own, config);
}

}  // namespace spillway::core
