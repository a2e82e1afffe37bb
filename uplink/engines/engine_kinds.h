// Which engine a url's scheme asks for: of the kinds that a table lists, and of those the ones that this build has.
//
// A kind is any struct with a `scheme`, the CMake `option` that builds it, and a `make` that is null where it was not
// built.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "spillway/core/result.h"

namespace spillway::uplink {

/// kInvalidArgument: none has this scheme (`none` says so of it), or this build was made without it. `whose`
/// begins the message.
template <typename Kind>
[[nodiscard]] core::Result<const Kind*> find_kind(std::span<const Kind> kinds,
                                                  std::string_view scheme, const std::string& whose,
                                                  const std::string& none) {
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const Kind& kind) { return kind.scheme == scheme; });
  const std::string what = whose + ": " + std::string(scheme) + ":// ";
  if (found == kinds.end()) return core::fail(core::ErrorCode::kInvalidArgument, what + none);
  if (found->make != nullptr) return &*found;
  return core::fail(
      core::ErrorCode::kInvalidArgument,
      what + "needs a build with -D" + found->option + "=ON, and this one was made without it");
}

}  // namespace spillway::uplink
