// What the code under test does to shared memory, as calls into the machine that is running it
// (tests/model/machine.h). The checking atomics and the scenarios' own payload stand on these.
//
// One thread, and only inside of Machine::take. An operation may leave by exception: the machine
// takes one step at a time and runs a thread's code again from its last resting point.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace spillway::model {

/// Where in the code under test an operation stands.
struct Site {
  const char* file;
  const char* function;
  int line;
};

std::uint64_t atomic_load(const void* at, std::size_t bytes, std::memory_order order, Site site);
void atomic_store(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order,
                  Site site);
std::uint64_t atomic_add(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order,
                         Site site);
/// Neither wraps a word nor leaves the ring; a race with another thread ends the exploration.
void plain_store(void* at, const void* value, std::size_t bytes, Site site);

}  // namespace spillway::model
