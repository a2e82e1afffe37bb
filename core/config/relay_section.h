// [consumer.relay]: a consumer that stores into streams of its own. Private to core/config.
#pragma once

#include "core/config/sections.h"

namespace spillway::core {

inline constexpr std::string_view kRelayScheme = "spill:";

/// `reader` is at [consumer], whose inbox is known by now.
[[nodiscard]] Result<void> read_relay(const TableReader& reader, const Config& config,
                                      ConsumerConfig& consumer);

}  // namespace spillway::core
