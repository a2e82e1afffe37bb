// An uplink whose far end is an engine: its own keys, and which of the link's it may have. Private to
// core/config.
#pragma once

#include <span>

#include "core/config/table_reader.h"
#include "spillway/core/config.h"

namespace spillway::core {

/// The keys of [[uplink]] that only an engine's uplink has.
[[nodiscard]] std::span<const std::string_view> engine_keys();

/// The whole far end: url, [uplink.tls], the engine's table, and the one link that stands for it.
/// What only the native link has is an error, not something that is silently left undone.
[[nodiscard]] Result<void> read_engine(const TableReader& reader, const std::string& path,
                                       UplinkConfig& uplink);
/// For an uplink to a consumer: none of the engine's keys may stand there.
[[nodiscard]] Result<void> refuse_engine_keys(const TableReader& reader);

// Each engine's own table.
[[nodiscard]] Result<void> read_rabbitmq(const TableReader& reader, const std::string& path,
                                         EngineConfig& engine);

[[nodiscard]] Result<void> read_kafka(const TableReader& reader, const std::string& path,
                                      EngineConfig& engine);
[[nodiscard]] Result<void> read_nats(const TableReader& reader, const std::string& path,
                                     EngineConfig& engine);
[[nodiscard]] Result<void> read_mqtt(const TableReader& reader, const std::string& path,
                                     EngineConfig& engine);
[[nodiscard]] Result<void> read_http(const TableReader& reader, const std::string& path,
                                     EngineConfig& engine);

/// One of some words.
[[nodiscard]] Result<void> read_word(const TableReader& reader, std::string_view key,
                                     std::span<const std::string_view> words, std::string& out);
/// How a Kafka cluster authenticates its users.
[[nodiscard]] Result<void> read_sasl(const TableReader& reader, std::string& out);
/// What stands in braces must be something that can be filled in: {gateway}, {stream}, {topic}.
[[nodiscard]] Result<void> check_template(const TableReader& reader, std::string_view key,
                                          const std::string& text);

}  // namespace spillway::core
