// What [[consumer.source]] says: an engine that gateways fill, and from which the consumer reads.
//
// Whether this build can read from it is not the configuration's to say, but the daemon's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/core/engine_config.h"
#include "spillway/core/tls_config.h"

namespace spillway::core {

struct SourceConfig {
  EngineUrl url;
  std::string password_file;
  TlsConfig tls;
  // RabbitMQ.
  std::string queue = "spillway";
  /// Sent to this consumer and not yet acknowledged, at most.
  std::uint64_t prefetch = 4096;
  std::uint64_t heartbeat_ns = 30'000'000'000;
  // NATS.
  std::string stream = "SPILLWAY";
  std::string durable = "spillway";
  /// What was brought and not acknowledged for so long comes again, to whichever consumer.
  std::uint64_t ack_wait_ns = 60'000'000'000;
  // Kafka.
  std::vector<std::string> topics{"spillway"};  // one that begins with ^ is a regular expression
  std::string group = "spillway-consumer";
  std::string instance;        // of the group: a restarted one has its partitions back at once
  std::string sasl = "plain";  // how the url's user is authenticated
  // MQTT.
  std::string client_id;  // the session's name at the broker; each consumer has its own
  std::vector<std::string> filters{"spillway/#"};  // also "$share/group/filter"
  std::uint64_t session_expiry_ns = 0;   // kept for an absent consumer so long; 0: for ever
  std::uint64_t receive_maximum = 1000;  // sent to it and not yet acknowledged, at most
  std::uint64_t keep_alive_ns = 60'000'000'000;

  bool has_tls = false;  // there is a [consumer.source.tls]
};

}  // namespace spillway::core
