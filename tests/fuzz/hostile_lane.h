// HostileLane: a lane file in the hands of an enemy who owns it: writes any of its bytes by system
// call, cuts it short, lets go of its lock, puts it under a new name.
//
// One thread. Each instruction of a Program is one thing that he does; none of them can fail the
// test by itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/core/format.h"
#include "tests/fuzz/program.h"

namespace spillway::fuzz {

class HostileLane {
 public:
  static constexpr std::uint64_t kCapacity = 16U * 1024;
  static constexpr std::uint64_t kDataOffset = 8192;
  static constexpr std::uint32_t kActions = 10;
  static constexpr int kNamesMax = 4;

  explicit HostileLane(std::string folder);
  ~HostileLane();
  HostileLane(const HostileLane&) = delete;
  HostileLane& operator=(const HostileLane&) = delete;

  /// One instruction.
  void act(Program& program);
  /// Names under which the lane is, or was until the agent took it away.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  void taken_away(const std::string& name) { std::erase(names_, name); }

 private:
  void write(std::uint64_t at, const void* bytes, std::size_t size) const;
  void write_header();
  void write_honest_frames(Program& program);
  void write_word(Program& program);
  void write_header_field(Program& program);
  void write_producer_line(Program& program);
  void write_agent_line(Program& program);
  void write_bytes(Program& program);
  void truncate(Program& program);
  void release_lock();
  void add_name();

  std::string folder_;
  format::LaneHeader header_;
  std::vector<std::string> names_;
  std::uint64_t position_ = 0;  // where an honest producer would go on
  int fd_ = -1;
  int lock_fd_ = -1;
  int made_ = 0;
};

}  // namespace spillway::fuzz
