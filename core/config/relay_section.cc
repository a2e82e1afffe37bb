#include "core/config/relay_section.h"

#include <algorithm>
#include <array>

#include "spillway/core/foreign_stream.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 5> kRelayKeys{"segment_bytes", "stream_bytes", "max_bytes",
                                                     "when_full", "max_age"};
/// Rules of [consumer] for what stands in a database.
constexpr std::array<std::string_view, 5> kDatabaseKeys{"max_record_bytes", "validate", "gateways",
                                                        "retain", "max_bytes"};
constexpr std::uint64_t kSegmentsMin = 4;
constexpr std::uint64_t kMaxAgeMinNs = 1'000'000'000;

Result<void> read_when_full(const TableReader& reader, RelayConfig& relay) {
  std::string when_full = "reject-new";
  SPILLWAY_CHECKED(reader.read("when_full", when_full));
  if (when_full != "drop-oldest" && when_full != "reject-new") {
    return reader.complain("when_full", "when_full must be \"reject-new\" or \"drop-oldest\"");
  }
  relay.when_full = when_full == "drop-oldest" ? WhenFull::kDropOldest : WhenFull::kRejectNew;
  return {};
}

Result<void> check_sizes(const TableReader& reader, RelayConfig& relay) {
  // A small quota without a word about segments means smaller segments, not an error.
  if (!reader.has("segment_bytes")) {
    const std::uint64_t quarter = relay.stream_bytes / kSegmentsMin / kPageBytes * kPageBytes;
    relay.segment_bytes = std::min(relay.segment_bytes, std::max(quarter, kForeignSegmentBytesMin));
  }
  if (relay.segment_bytes % kPageBytes != 0 || relay.segment_bytes < kForeignSegmentBytesMin) {
    return reader.complain("segment_bytes",
                           "segment_bytes must be a multiple of 4KiB, and at least 256KiB");
  }
  if (relay.stream_bytes < kSegmentsMin * relay.segment_bytes) {
    return reader.complain("stream_bytes",
                           "stream_bytes must hold at least four segments of "
                           "segment_bytes (" +
                               std::to_string(relay.segment_bytes) + ")");
  }
  if (relay.max_bytes < relay.stream_bytes) {
    return reader.complain("max_bytes",
                           "max_bytes is for all streams together, so it must not be "
                           "below stream_bytes (" +
                               std::to_string(relay.stream_bytes) + ")");
  }
  if (relay.max_age_ns != 0 && relay.max_age_ns < kMaxAgeMinNs) {
    return reader.complain("max_age", "max_age must be at least \"1s\", or \"0\" for none");
  }
  return {};
}

Result<void> check_directory(const TableReader& reader, const Config& config,
                             const RelayConfig& relay) {
  for (const std::string& other : {config.gateway.spill_dir, config.gateway.queue_dir}) {
    if (relay.directory != other) continue;
    return reader.complain("inbox",
                           "inbox: a relay's directory is its own, not the agent's " + other);
  }
  for (const std::string_view key : kDatabaseKeys) {
    if (!reader.has(key)) continue;
    return reader.complain(
        key, "a relay passes on all that comes, and the consumer at the end has " +
                 std::string(key) + "; what a relay keeps is bounded in [consumer.relay]");
  }
  return {};
}

}  // namespace

Result<void> read_relay(const TableReader& reader, const Config& config, ConsumerConfig& consumer) {
  RelayConfig& relay = consumer.relay;
  if (consumer.inbox.starts_with(kRelayScheme)) {
    relay.directory = consumer.inbox.substr(kRelayScheme.size());
    SPILLWAY_CHECKED(check_directory(reader, config, relay));
  }
  SPILLWAY_TRY(table, reader.table("relay"));
  if (table == nullptr) return {};
  if (relay.directory.empty()) {
    return reader.complain("relay", "[consumer.relay] goes with inbox = \"spill:/directory\"");
  }
  const TableReader own(*table, "[consumer.relay]", config.path);
  SPILLWAY_CHECKED(own.check_keys({kRelayKeys, {}}));
  SPILLWAY_CHECKED(own.read_bytes("segment_bytes", relay.segment_bytes));
  SPILLWAY_CHECKED(own.read_bytes("stream_bytes", relay.stream_bytes));
  SPILLWAY_CHECKED(own.read_bytes("max_bytes", relay.max_bytes));
  SPILLWAY_CHECKED(own.read_duration("max_age", relay.max_age_ns));
  SPILLWAY_CHECKED(read_when_full(own, relay));
  return check_sizes(own, relay);
}

}  // namespace spillway::core
