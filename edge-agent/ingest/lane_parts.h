// What the adapters share of their lanes. One thread a producer.
#pragma once

#include <string>

#include "spillway/core/result.h"
#include "spillway/producer.h"

namespace spillway::agent {

/// The name, or its beginning and a hash where it is longer than a producer's may be; never cut inside a character.
[[nodiscard]] std::string fitting_producer_name(std::string name);

/// Whether a record of this size has room now; counts no refusal. True for what the lane refuses for its size: that is
/// for put to say.
[[nodiscard]] bool has_room(const Producer& producer, std::size_t size);

/// Why a lane could not be opened, or does not take what it should. kUnavailable: it may pass.
[[nodiscard]] tl::unexpected<core::Error> lane_error(Status status, const std::string& topic);

}  // namespace spillway::agent
