// SPILLWAY_ASSERT: for what only a programmer can do wrong; on in release. Never for bytes from
// disk, lane or peer.
#pragma once

namespace spillway::core {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}  // namespace spillway::core

#define SPILLWAY_ASSERT(expression) \
  (static_cast<bool>(expression)    \
       ? static_cast<void>(0)       \
       : ::spillway::core::assertion_failed(#expression, __FILE__, __LINE__))
