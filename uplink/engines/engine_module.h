// Engine modules: what needs an engine's client library stands in a shared object of its own, which a
// daemon loads where its configuration names such an engine. So a machine needs only the libraries of
// the engines that it uses.
//
// The daemons export their symbols: what a module and its daemon both contain is the daemon's, so there
// is one of each static. A module belongs to the daemon of its own version and is refused by any other.
// It stands in ../<SPILLWAY_MODULES> from the daemon, where it is built as where it is installed, and is
// never unloaded.
//
// Before the daemon's threads start.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "spillway/core/result.h"

namespace spillway::uplink {

/// What each module exports begins with this, whatever its version: how the rest is to be read.
struct EngineModule {
  const char* version;
};

struct EngineKind {
  std::string_view scheme;
  std::string_view engine;  // as its module is named
};

/// The engine that a url's scheme asks for. kInvalidArgument: none has it (`none` says so of it); `whose`
/// begins the message.
[[nodiscard]] core::Result<std::string_view> engine_of(std::span<const EngineKind> kinds,
                                                       std::string_view scheme,
                                                       const std::string& whose,
                                                       const std::string& none);

/// What libspillway-<role>-<engine>.so exports as spillway_<role>_module. kInvalidArgument: it is not
/// installed, or not usable, and what to do about it; `whose` begins the message.
[[nodiscard]] core::Result<const EngineModule*> load_engine_module(const std::string& role,
                                                                   std::string_view engine,
                                                                   const std::string& whose);

}  // namespace spillway::uplink
