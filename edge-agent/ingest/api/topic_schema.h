// TopicSchema: the schema of one topic's records: it checks them, and builds them from JSON.
//
// One thread. The schema comes over the network: it is taken only if every number in it means
// something (check_meaning), and a .fbs text may include no file.
#pragma once

#include <flatbuffers/idl.h>
#include <flatbuffers/reflection.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::agent::api {

using Bytes = std::vector<std::byte>;

/// A .bfbs of what was sent: a .bfbs as it is, or a .fbs text with a root_type. kInvalidArgument
/// says what is wrong with it.
[[nodiscard]] core::Result<Bytes> compile_schema(std::span<const std::byte> sent);

/// kCorrupt unless core::check_schema passes and each type, index, id, offset and default in it can
/// be used: flatbuffers' own reader of schemas trusts them.
[[nodiscard]] core::Result<void> check_meaning(std::span<const std::byte> bfbs);

class TopicSchema {
 public:
  /// `bfbs` as compile_schema gives it.
  [[nodiscard]] static core::Result<std::shared_ptr<TopicSchema>> make(Bytes bfbs);

  /// A record of a JSON object; good until the next call.
  [[nodiscard]] core::Result<std::span<const std::byte>> build(std::string_view json);
  /// Whether these bytes are a record of this schema.
  [[nodiscard]] bool verify(std::span<const std::byte> record) const;

  [[nodiscard]] const Bytes& bfbs() const { return bfbs_; }
  [[nodiscard]] std::uint64_t fingerprint() const { return fingerprint_; }

 private:
  explicit TopicSchema(Bytes bfbs);

  Bytes bfbs_;
  std::uint64_t fingerprint_;
  flatbuffers::Parser parser_;
  std::string text_;  // flatbuffers wants its JSON to end in a NUL
};

}  // namespace spillway::agent::api
