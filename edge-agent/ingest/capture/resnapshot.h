// A request for a new snapshot, which `spillway-capture resnapshot` leaves for the capture: a file in its
// state directory. Any process.
#pragma once

#include "spillway/core/capture_config.h"
#include "spillway/core/env/env.h"

namespace spillway::agent::capture {

[[nodiscard]] core::Result<void> request_resnapshot(const core::CaptureConfig& capture);
[[nodiscard]] core::Result<bool> resnapshot_is_wanted(const core::CaptureConfig& capture);
/// When it has been done.
[[nodiscard]] core::Result<void> end_resnapshot_request(const core::CaptureConfig& capture);

}  // namespace spillway::agent::capture
