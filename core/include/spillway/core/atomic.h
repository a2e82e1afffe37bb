// The one alias through which every atomic goes, so that a model checker can take its place.
#pragma once

#include <atomic>
#include <cstdint>

namespace spillway::core {

template <typename T>
using Atomic = std::atomic<T>;

// Atomics stand in memory that processes of different word sizes share: they must be lock-free and
// have no extra bytes.
static_assert(Atomic<std::uint32_t>::is_always_lock_free && sizeof(Atomic<std::uint32_t>) == 4);
static_assert(Atomic<std::uint64_t>::is_always_lock_free && sizeof(Atomic<std::uint64_t>) == 8);

}  // namespace spillway::core
