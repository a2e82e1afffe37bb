// A relay's directory: <directory>/<gateway>/<stream>/ for each stream of another gateway that it has
// stored something of, and <directory>/<gateway>/origin, which says what the gateway is called.
//
// Any thread. The relay's consumer writes; its uplinks and tools read.
#pragma once

#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/uuid.h"

namespace spillway::core {

/// A relay holds no more streams; one that wants more of them is refused.
inline constexpr std::size_t kForeignStreamsMax = 4096;

struct ForeignPlace {
  Uuid gateway;
  std::string gateway_name;  // its id as text where the name is not known
  std::string stream;
  std::string directory;
};

[[nodiscard]] std::string foreign_directory(const std::string& relay_directory, const Uuid& gateway,
                                            const std::string& stream);
/// A name that may become a directory's: [a-z0-9_-]{1,63}, as every stream has one.
[[nodiscard]] bool is_foreign_stream_name(const std::string& stream);

/// Notes what the gateway is called, if that is not what is there; makes its directory.
[[nodiscard]] Result<void> note_origin(env::Env& env, const std::string& relay_directory,
                                       const Uuid& gateway, const std::string& gateway_name);
/// By gateway and stream. kNotFound: there is no such directory.
[[nodiscard]] Result<std::vector<ForeignPlace>> list_foreign_streams(
    env::Env& env, const std::string& relay_directory);

}  // namespace spillway::core
