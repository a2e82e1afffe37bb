// The one alias through which every atomic goes, so that a model checker can take its place
// (tests/model has the same header with checking atomics).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace spillway::core {

template <typename T>
using Atomic = std::atomic<T>;

/// A plain store into shared memory, which the other side reads only behind an atomic one. Named,
/// so that the model checker sees it.
template <typename T>
inline void store_plain(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

// Atomics stand in memory that processes of different word sizes share: they must be lock-free and
// have no extra bytes.
static_assert(Atomic<std::uint32_t>::is_always_lock_free && sizeof(Atomic<std::uint32_t>) == 4);
static_assert(Atomic<std::uint64_t>::is_always_lock_free && sizeof(Atomic<std::uint64_t>) == 8);

}  // namespace spillway::core
