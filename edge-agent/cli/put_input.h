// RecordInput: turns what a person has (lines, JSON, a FlatBuffer file) into records for `spillway
// put`.
//
// One thread.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::cli {

using Record = std::vector<std::byte>;

class RecordInput {
 public:
  RecordInput() = default;
  RecordInput(const RecordInput&) = delete;
  RecordInput& operator=(const RecordInput&) = delete;
  virtual ~RecordInput() = default;

  /// Nothing at the end.
  [[nodiscard]] virtual core::Result<std::optional<Record>> next() = 0;
  /// The records' .bfbs; empty if nobody told it.
  [[nodiscard]] virtual std::span<const std::byte> schema() const = 0;
};

enum class InputKind : std::uint8_t { kLines, kFlatbuffer, kJson };

/// `stream` must outlive it. `schema_path` is a .fbs or .bfbs file: needed for JSON, welcome for a
/// FlatBuffer, and wrong for lines, which have one.
[[nodiscard]] core::Result<std::unique_ptr<RecordInput>> make_input(InputKind kind,
                                                                    std::istream& stream,
                                                                    const std::string& schema_path);

}  // namespace spillway::cli
