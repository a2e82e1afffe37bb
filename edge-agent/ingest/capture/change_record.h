// ChangeRecord: makes FlatBuffers of changes; one that is too large for a record becomes several.
//
// One thread. The same change always makes the same parts, as long as bytes_max stays.
#pragma once

#include <functional>
#include <span>

#include "edge-agent/ingest/capture/change.h"
#include "spillway/core/result.h"

namespace spillway::agent::capture {

class ChangeRecord {
 public:
  using Take = std::function<core::Result<void>(std::uint32_t part, std::span<const std::byte>)>;

  ChangeRecord(std::string database, std::size_t bytes_max);

  void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }
  /// The records that follow may have been sent before.
  void set_maybe_repeated(bool maybe) { maybe_repeated_ = maybe; }
  [[nodiscard]] bool maybe_repeated() const { return maybe_repeated_; }
  /// Calls `take` for each part, in order; the bytes are good until it returns. kInvalidArgument for a
  /// change of which not even one byte of a value fits (names of absurd length).
  [[nodiscard]] core::Result<void> build(const Change& change, const Take& take);

 private:
  /// A part of a value: of one of the three lists, bytes [at, at + size).
  struct Slice {
    int list = 0;
    const Value* value = nullptr;
    std::size_t at = 0;
    std::size_t size = 0;
  };
  using Part = std::vector<Slice>;
  using Offsets = std::vector<flatbuffers::Offset<change::Value>>;

  [[nodiscard]] std::span<const std::byte> build_part(const Change& change, const Part& slices,
                                                      std::uint32_t part, std::uint32_t parts);
  [[nodiscard]] flatbuffers::Offset<change::Value> build_value(const Slice& slice);
  [[nodiscard]] core::Result<std::vector<Part>> split(const Change& change) const;

  std::string database_;
  std::size_t bytes_max_;
  std::uint64_t epoch_ = 0;
  bool maybe_repeated_ = false;
  flatbuffers::FlatBufferBuilder builder_{16 * 1024};
  std::array<Offsets, 3> lists_;
};

}  // namespace spillway::agent::capture
