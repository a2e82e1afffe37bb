// make_source: the Source that a configuration names, and what can be done to its database.
//
// One thread for each source.
#pragma once

#include <memory>

#include "edge-agent/ingest/capture/source.h"
#include "spillway/core/capture_config.h"

namespace spillway::agent::capture {

/// kInvalidArgument: this build knows no such database.
[[nodiscard]] core::Result<std::unique_ptr<Source>> make_source(const core::CaptureConfig& capture);

/// Triggers, publication and slot; what is there stays as it is.
[[nodiscard]] core::Result<void> set_up(const core::CaptureConfig& capture);
/// The SQL that set_up would run.
[[nodiscard]] core::Result<std::vector<std::string>> set_up_sql(const core::CaptureConfig& capture);
/// Takes away what set_up has made, and the position with it.
[[nodiscard]] core::Result<void> take_away(const core::CaptureConfig& capture);
[[nodiscard]] core::Result<std::vector<std::string>> take_away_sql(
    const core::CaptureConfig& capture);

}  // namespace spillway::agent::capture
