// SchemaFile: a FlatBuffers schema that knows how to turn records into JSON and JSON into records.
//
// One thread. Records are hostile bytes: they are verified against the schema before they are read.
#pragma once

#include <flatbuffers/idl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::cli {

class SchemaFile {
 public:
  /// A .fbs or .bfbs file with a root type.
  [[nodiscard]] static core::Result<std::unique_ptr<SchemaFile>> load(const std::string& path);
  /// From .bfbs bytes; null if they are none, or name no root type.
  [[nodiscard]] static std::unique_ptr<SchemaFile> from_bfbs(std::span<const std::byte> bfbs);

  /// The record as one line of JSON; nothing if it is no record of this schema.
  [[nodiscard]] std::optional<std::string> to_json(std::span<const std::byte> record);
  [[nodiscard]] flatbuffers::Parser& parser() { return parser_; }
  [[nodiscard]] std::uint64_t fingerprint() const { return fingerprint_; }

 private:
  SchemaFile() = default;
  [[nodiscard]] bool adopt(std::span<const std::byte> bfbs);

  flatbuffers::Parser parser_;
  std::vector<std::byte> bfbs_;
  std::vector<std::byte> aligned_;  // a record's copy: FlatBuffers are read in place, and aligned
  std::uint64_t fingerprint_ = 0;
};

/// flatc's errors end in line breaks.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace spillway::cli
