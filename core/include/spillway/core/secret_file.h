// A file that holds one secret and nothing else, as keys that end in `_file` name it.
#pragma once

#include <string>

#include "spillway/core/result.h"

namespace spillway::core {

/// Without the line end behind it. kInvalidArgument, which names the key, where there is none.
[[nodiscard]] Result<std::string> read_secret_file(const std::string& path, const std::string& key);
/// What the key `password_file` names; empty where it names nothing.
[[nodiscard]] Result<std::string> read_password(const std::string& password_file);

}  // namespace spillway::core
