// Producers: the local processes of one gateway, their lanes, and the truth about each of their records:
// what the product has promised about it.
//
// A record names itself (gateway, producer, number), and its bytes follow from its name: so whoever holds
// a record can say which one it is and whether it is whole.
//
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/edge-agent/fake_lanes.h"
#include "tests/sim/context.h"

namespace spillway::sim {

/// "g0/telemetry/p1": gateway, stream and producer.
struct Producer {
  std::string name;
  std::string stream;
  std::string topic;
  std::uint64_t bytes_max = 0;  // of a record
  /// By number. True: a fault has struck that may cost this record, for it was not yet as safe as that.
  std::vector<bool> may_be_lost;
  /// Where each record of this boot ends in the lane.
  std::vector<std::uint64_t> lane_ends;
};

[[nodiscard]] std::string record_text(const Producer& producer, std::uint64_t number);
/// The number that a record claims to have, if it claims to be this producer's.
[[nodiscard]] std::optional<std::uint64_t> record_number(const Producer& producer,
                                                         std::string_view record);

class Producers {
 public:
  explicit Producers(Context& context) : context_(context) {}

  void add(Producer producer) { all_.push_back(std::move(producer)); }
  /// New lanes in a new tmpfs.
  void boot(const core::Uuid& boot_id);
  /// Returns the bytes that the lane has taken.
  std::uint64_t put(std::size_t producer, std::uint64_t ticks);
  /// The lanes are gone, and with them what the disk was not said to have.
  void lose_power();

  /// How many records of each producer the disk is said to have, for a backup made now.
  [[nodiscard]] std::vector<std::size_t> power_safe() const;
  /// The disk is again what it was when power_safe() was asked.
  void roll_back(const std::vector<std::size_t>& power_safe);

  [[nodiscard]] agent::LaneSource& lanes() { return *lanes_; }
  [[nodiscard]] const std::vector<Producer>& all() const { return all_; }
  /// All lanes of the stream have been drained to their end.
  [[nodiscard]] bool drained(const std::string& stream) const;
  /// A bug: the agent's mark in the lanes falls back by a record.
  void forget_consumed();

 private:
  Context& context_;
  std::vector<Producer> all_;
  std::unique_ptr<agent::testing::FakeLanes> lanes_;
};

}  // namespace spillway::sim
