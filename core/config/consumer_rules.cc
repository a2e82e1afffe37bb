// [consumer]: which records are applied, and whose.
#include "core/config/sections.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kRecordBytesMin = 1024;
constexpr std::uint64_t kInboxBytesMin = 1ULL << 20;

}  // namespace

Result<void> read_consumer_rules(const TableReader& reader, ConsumerConfig& consumer) {
  SPILLWAY_CHECKED(reader.read_bytes("max_record_bytes", consumer.max_record_bytes));
  if (consumer.max_record_bytes < kRecordBytesMin ||
      consumer.max_record_bytes > kRecordBytesLimit) {
    return reader.complain("max_record_bytes", "max_record_bytes must be from 1KiB to 32MiB");
  }
  SPILLWAY_CHECKED(reader.read_truth("validate", consumer.validate));
  std::string gateways = "open";
  SPILLWAY_CHECKED(reader.read("gateways", gateways));
  if (gateways != "open" && gateways != "known") {
    return reader.complain("gateways",
                           "gateways must be \"open\" (all but those that were revoked) or "
                           "\"known\" (those that were allowed)");
  }
  consumer.known_gateways_only = gateways == "known";
  SPILLWAY_CHECKED(reader.read_truth("bind_certificates", consumer.bind_certificates));
  if (consumer.bind_certificates && consumer.tls.ca.empty()) {
    return reader.complain("bind_certificates",
                           "bind_certificates needs ca in [consumer.tls]: without it no gateway "
                           "shows a certificate");
  }
  SPILLWAY_CHECKED(reader.read_duration("retain", consumer.retain_ns));
  SPILLWAY_CHECKED(reader.read_bytes("max_bytes", consumer.max_bytes));
  if (consumer.max_bytes != 0 && consumer.max_bytes < kInboxBytesMin) {
    return reader.complain("max_bytes", "max_bytes must be at least 1MiB");
  }
  if (consumer.max_bytes != 0 && consumer.inbox.starts_with("postgres")) {
    return reader.complain(
        "max_bytes", "max_bytes goes with an inbox in SQLite; in PostgreSQL retain bounds it");
  }
  return {};
}

}  // namespace spillway::core
