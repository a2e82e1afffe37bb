// RecordPrinter: prints a stream's blocks and gaps for a person or, as JSON lines, for a program.
//
// One thread. Learns lanes and clocks from the declarations that come before the data. Every block
// was checked by the reader; records are hostile all the same.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "edge-agent/cli/schema_file.h"
#include "spillway/core/lane_clock.h"
#include "spillway/core/stream_reader.h"

namespace spillway::cli {

class RecordPrinter {
 public:
  /// `schema` (may be null) is used for every record; without it the lane's fingerprint decides.
  /// Prints `count_max` records at most.
  RecordPrinter(std::ostream& out, bool json, std::unique_ptr<SchemaFile> schema,
                std::uint64_t count_max);

  void print(const core::StreamItem& item);
  [[nodiscard]] bool finished() const { return printed_ >= count_max_; }

 private:
  struct LaneFacts {
    std::string topic = "?";
    std::string producer = "?";
    std::uint64_t fingerprint = 0;
  };

  void print_gap(const core::Gap& gap);
  void learn_lane(const core::Block& block);
  void print_data(const core::Block& block);
  void print_record(const core::Block& block, const LaneFacts& lane, std::uint64_t offset,
                    const core::FrameView& frame);
  [[nodiscard]] SchemaFile* schema_of(std::uint64_t fingerprint);

  std::ostream& out_;
  bool json_;
  std::unique_ptr<SchemaFile> schema_;
  std::uint64_t count_max_;
  std::uint64_t printed_ = 0;
  std::map<std::uint64_t, LaneFacts> lanes_;
  core::LaneClock clock_;
  std::map<std::uint64_t, std::unique_ptr<SchemaFile>> builtin_;
};

}  // namespace spillway::cli
