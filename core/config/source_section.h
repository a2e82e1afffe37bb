// [[consumer.source]]: the engines that a consumer reads from. Private to core/config.
#pragma once

#include "core/config/table_reader.h"
#include "spillway/core/config.h"

namespace spillway::core {

/// `reader` is at [consumer], whose inbox is known by now.
[[nodiscard]] Result<void> read_sources(const TableReader& reader, const std::string& path,
                                        ConsumerConfig& consumer);

}  // namespace spillway::core
