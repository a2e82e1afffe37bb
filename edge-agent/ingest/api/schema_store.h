// SchemaStore: the schema of each topic, kept as <directory>/<topic>.bfbs: synced before a PUT is
// answered, and in force again after a restart.
//
// One thread. At most kTopicsMax topics have one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "edge-agent/ingest/api/topic_schema.h"
#include "spillway/core/env/env.h"

namespace spillway::agent::api {

class SchemaStore {
 public:
  static constexpr std::size_t kTopicsMax = 1024;

  enum class Put : std::uint8_t { kNew, kSame, kChanged };

  /// Makes the directory if it is not there. A file that cannot be used is left as it is, and named
  /// in the log: its topic has no schema until one is put.
  [[nodiscard]] static core::Result<std::unique_ptr<SchemaStore>> open(core::env::Env& env,
                                                                       std::string directory);

  /// Null if the topic has none.
  [[nodiscard]] std::shared_ptr<TopicSchema> find(const std::string& topic) const;
  /// kInvalidArgument: it cannot be used; kRefused: it is no compatible change; kFull; or the disk's
  /// error, and then the old one stays in force.
  [[nodiscard]] core::Result<Put> put(const std::string& topic, std::span<const std::byte> sent);
  [[nodiscard]] std::size_t size() const { return schemas_.size(); }

 private:
  SchemaStore(core::env::Env& env, std::string directory)
      : env_(env), directory_(std::move(directory)) {}
  [[nodiscard]] core::Result<void> load(const std::string& name);

  core::env::Env& env_;
  std::string directory_;
  std::map<std::string, std::shared_ptr<TopicSchema>> schemas_;
};

/// A topic as a file's name and back: what is no letter, digit, '-' or '_' becomes %XX. Two topics
/// never have one name.
[[nodiscard]] std::string escape(std::string_view topic);
/// Of an URL's path, too: %XX becomes its byte. Nothing if it is broken.
[[nodiscard]] std::optional<std::string> unescape(std::string_view text);

}  // namespace spillway::agent::api
