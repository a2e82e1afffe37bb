// RecordPrinter: prints a stream's blocks and gaps for a person or, as JSON lines, for a program.
//
// One thread. Learns lanes, schemas and clocks from the declarations that come before the data: a
// copied spill is all it needs. Every block was checked by the reader; what stands in schemas and
// records is hostile all the same.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "spillway/core/lane_clock.h"
#include "spillway/core/record_json.h"
#include "spillway/core/stream_reader.h"

namespace spillway::cli {

class RecordPrinter {
 public:
  /// `schema` (may be null) is used for every record; without it the lane's fingerprint decides: the
  /// schema of that name in the spill, else one that is built in. Prints `count_max` records at most.
  RecordPrinter(std::ostream& out, bool json, std::unique_ptr<core::RecordJson> schema,
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
  void learn_schema(const core::Block& block);
  void print_data(const core::Block& block);
  void print_record(const core::Block& block, const LaneFacts& lane, std::uint64_t offset,
                    const core::FrameView& frame);
  [[nodiscard]] core::RecordJson* schema_of(std::uint64_t fingerprint);

  std::ostream& out_;
  bool json_;
  std::unique_ptr<core::RecordJson> schema_;
  std::uint64_t count_max_;
  std::uint64_t printed_ = 0;
  std::map<std::uint64_t, LaneFacts> lanes_;
  core::LaneClock clock_;
  std::map<std::uint64_t, std::unique_ptr<core::RecordJson>> known_;  // null: not to be had
};

}  // namespace spillway::cli
