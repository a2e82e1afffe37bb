// What make_source needs to know of PostgreSQL.
//
// One thread for each source.
#pragma once

#include <memory>

#include "edge-agent/ingest/capture/source.h"
#include "spillway/core/capture_config.h"

namespace spillway::agent::capture {

[[nodiscard]] core::Result<std::unique_ptr<Source>> make_postgres_source(
    const core::CaptureConfig& capture);
[[nodiscard]] core::Result<void> set_up_postgres(const core::CaptureConfig& capture);
[[nodiscard]] core::Result<std::vector<std::string>> postgres_set_up_sql(
    const core::CaptureConfig& capture);
[[nodiscard]] core::Result<void> take_away_postgres(const core::CaptureConfig& capture);
[[nodiscard]] core::Result<std::vector<std::string>> postgres_take_away_sql(
    const core::CaptureConfig& capture);

}  // namespace spillway::agent::capture
