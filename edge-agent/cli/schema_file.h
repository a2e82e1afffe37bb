// SchemaFile: a FlatBuffers schema that a person named on the command line: it turns JSON into
// records, and its bytes go with them.
//
// One thread. A schema that came out of a spill is never read by this, but by core's RecordJson.
#pragma once

#include <flatbuffers/idl.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::cli {

class SchemaFile {
 public:
  /// A .fbs or .bfbs file with a root type.
  [[nodiscard]] static core::Result<std::unique_ptr<SchemaFile>> load(const std::string& path);
  /// No schema file is larger; kSchemaBytesMax is the bound for one that is to travel.
  static constexpr std::size_t kBytesMax = 4U << 20;

  [[nodiscard]] flatbuffers::Parser& parser() { return parser_; }
  [[nodiscard]] std::span<const std::byte> bfbs() const { return bfbs_; }

 private:
  SchemaFile() = default;
  [[nodiscard]] bool adopt(std::span<const std::byte> bfbs);

  flatbuffers::Parser parser_;
  std::vector<std::byte> bfbs_;
};

/// flatc's errors end in line breaks.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace spillway::cli
