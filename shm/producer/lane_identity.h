// What a new lane says about itself, and the checks of what its producer asked for. Private to the
// producer library.
#pragma once

#include <cstdint>

#include "shm/lane/lane_layout.h"
#include "spillway/producer.h"

namespace spillway::shm {

// spillway/core/format.h has these, too, but brings std::string along; lane_layout.cc compares
// them.
inline constexpr std::uint32_t kLaneFileVersion = 1;
inline constexpr std::size_t kUncheckedHeaderBytes = 24;
inline constexpr std::uint64_t kLaneFileMagic = 0x454E'414C'4C49'5053;  // "SPILLANE"
inline constexpr std::uint64_t kBellPageMagic = 0x4C45'424C'4C49'5053;  // "SPILLBEL"

/// Fills in all but the lane's id and its time of making. kInvalid names the argument that can
/// never work.
[[nodiscard]] Status fill_identity(const char* topic, const ProducerOptions& options,
                                   format::LaneIdentity& identity, std::uint64_t& capacity);

}  // namespace spillway::shm
