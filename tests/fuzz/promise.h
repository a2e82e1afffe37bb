// What a fuzzer holds the product to: a broken promise ends the process, so that its input is kept.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace spillway::fuzz {

inline void check(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "fuzzer: broken: %s\n", promise);
  std::abort();
}

}  // namespace spillway::fuzz
