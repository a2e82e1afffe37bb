// RecordJson: prints records as JSON by a schema that came with them.
//
// One thread. Schema and record are both hostile: the schema has passed check_schema and no more,
// the record nothing. Every read of the record is bounds-checked where it happens, and so is every
// number of the schema's where it is used.
//
// Invariants:
//  1. Whatever the bytes: no read outside of them, at most kDepthMax nested values, at most
//     kValuesMax printed ones.
//  2. What comes out is one line of valid JSON and UTF-8. Scalars are printed also where they stand
//     at their default; a number that JSON has no word for (NaN, an infinity) is null.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "spillway/core/fingerprint.h"

namespace spillway::core {

class RecordJson {
 public:
  static constexpr int kDepthMax = 64;
  static constexpr std::size_t kValuesMax = 4'000'000;

  /// Null if check_schema refuses the bytes. They are copied.
  [[nodiscard]] static std::unique_ptr<RecordJson> make(std::span<const std::byte> bfbs,
                                                        std::size_t size_max = kSchemaBytesMax);
  virtual ~RecordJson() = default;

  /// Nothing if the bytes are no record of this schema.
  [[nodiscard]] std::optional<std::string> print(std::span<const std::byte> record) {
    return print(record, kValuesMax);
  }
  /// The same with a bound of one's own, for who cannot spend the time of kValuesMax on one record.
  [[nodiscard]] virtual std::optional<std::string> print(std::span<const std::byte> record,
                                                         std::size_t values_max) = 0;
};

}  // namespace spillway::core
