#include "spillway/core/assert.h"

#include <cstdio>
#include <cstdlib>

namespace spillway::core {

void assertion_failed(const char* expression, const char* file, int line) {
  // stdio only: this must work from the producer library, which has no logger.
  std::fprintf(stderr, "spillway: %s:%d: assertion failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace spillway::core
