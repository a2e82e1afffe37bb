// Leaves a producer's schema where the agent finds it: <queue_dir>/schemas/<fingerprint>.bfbs. Private
// to the producer library.
//
// Any thread. The file has all its bytes before it has its name; one that is there already is as good,
// for the name says what stands in it, and the agent checks that.
#pragma once

#include "spillway/producer.h"

namespace spillway::shm {

/// Fills in the fingerprint of options.schema, if there is one, and leaves it. A queue that knows no
/// schemas (an older agent's) is no reason to refuse a lane. kInvalid: what can be no schema, or has
/// another fingerprint than the options name.
[[nodiscard]] Status leave_schema(int queue_fd, const char* queue_path, ProducerOptions& options);

}  // namespace spillway::shm
