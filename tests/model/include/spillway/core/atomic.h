// The checking twin of core's atomic.h: it stands first in the include path of tests/model, so that
// the lane's own headers, unchanged, run on the modelled memory instead of the machine's.
//
// Same names, same sizes. An atomic's value is not in it: its address names a place in the model,
// and each operation goes to the machine that is running (tests/model/access.h). Outside of a run
// nothing may be called.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tests/model/access.h"

namespace spillway::core {

template <typename T>
class Atomic {
 public:
  static constexpr bool is_always_lock_free = true;

  // The default arguments are evaluated where the operation is called: that is the site's name, by
  // which mutants are made.
  [[nodiscard]] T load(std::memory_order order, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE(),
                       const char* function = __builtin_FUNCTION()) const {
    return static_cast<T>(model::atomic_load(this, sizeof(T), order, {file, function, line}));
  }
  void store(T value, std::memory_order order, const char* file = __builtin_FILE(),
             int line = __builtin_LINE(), const char* function = __builtin_FUNCTION()) {
    model::atomic_store(this, sizeof(T), value, order, {file, function, line});
  }
  T fetch_add(T value, std::memory_order order, const char* file = __builtin_FILE(),
              int line = __builtin_LINE(), const char* function = __builtin_FUNCTION()) {
    return static_cast<T>(model::atomic_add(this, sizeof(T), value, order, {file, function, line}));
  }

 private:
  alignas(T) [[maybe_unused]] std::byte place_[sizeof(T)];
};

template <typename T>
inline void store_plain(std::byte* at, T value, const char* file = __builtin_FILE(),
                        int line = __builtin_LINE(), const char* function = __builtin_FUNCTION()) {
  model::plain_store(at, &value, sizeof value, {file, function, line});
}

static_assert(Atomic<std::uint32_t>::is_always_lock_free && sizeof(Atomic<std::uint32_t>) == 4);
static_assert(Atomic<std::uint64_t>::is_always_lock_free && sizeof(Atomic<std::uint64_t>) == 8);

}  // namespace spillway::core
