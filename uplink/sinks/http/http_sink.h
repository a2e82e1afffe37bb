// The sink for whatever takes an HTTP POST, by libcurl: batches of NDJSON, one request at a time.
//
// One thread: the library's multi interface runs inside collect().
//
// Invariants:
//  1. kStored: the server has answered the POST with 2xx.
//  2. 400, 413, 415 and 422 are verdicts on what was sent: of a batch, each half is tried by itself, down to the
//     one record that is refused. Any other answer is no record's fault.
//  3. 429 and 503 hold everything for as long as Retry-After says, at most kRetryAfterMax.
//  4. A try of the same batch has the same Idempotency-Key.
#pragma once

#include <memory>

#include "spillway/core/config.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink {

[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_http_sink(const core::UplinkConfig& uplink);

}  // namespace spillway::uplink
