// A stream with a known content that gets damaged and repaired.
#pragma once

#include <algorithm>
#include <random>

#include "spill_helpers.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/repair.h"

namespace spillway::core::testing {

/// All files of a stream but the ones that hold times: what a repair leaves must not depend on how
/// it got there.
using Image = std::map<std::string, std::vector<std::byte>>;

class DamagedStream {
 public:
  explicit DamagedStream(std::uint64_t seed = 1) : env_(seed) {
    env_.set_volatile_root("/run");
    options_ = small_options("");
  }

  env::SimEnv& env() { return env_; }
  StreamOptions& options() { return options_; }
  [[nodiscard]] const std::map<std::uint64_t, std::string>& truth() const { return truth_; }

  /// Three lanes, blocks of one to three records, all power-safe in the end. Some segments are full.
  void fill(int blocks, std::size_t bytes = 900) {
    auto stream = value_of(Stream::open(env_, options_));
    for (std::uint64_t lane = 1; lane <= 3; ++lane) {
      value_of(stream->declare_lane(make_identity(lane), 0, 0, false));
    }
    for (int i = 0; i < blocks; ++i) {
      std::vector<std::string> records;
      for (int k = 0; k <= i % 3; ++k) {
        std::string record = std::to_string(serial_++) + ":";
        record.resize(bytes - static_cast<std::size_t>(i % 50), static_cast<char>('a' + i % 26));
        truth_[stream->next_offset() + static_cast<std::size_t>(k)] = record;
        records.push_back(std::move(record));
      }
      value_of(append_records(*stream, 1 + static_cast<std::uint64_t>(i) % 3, records,
                              static_cast<std::uint64_t>(serial_) * 64));
      if (i % 40 == 39) value_of(sync_now(*stream));
    }
    value_of(stream->close());
    stream.reset();
    // In time the kernel writes the control page, too.
    value_of(value_of(env_.open(options_.directory + "/control", env::OpenMode::kReadWrite))
                 ->sync_data());
    // Another machine, another boot: what a laptop sees.
    env_.restart_after_power_cut();
  }

  std::vector<std::string> segments() {
    std::vector<std::string> found;
    for (const SegmentReport& segment : verify().segments) found.push_back(segment.path);
    return found;
  }
  VerifyReport verify() { return value_of(verify_stream(env_, options_.directory)); }
  RepairReport repair(RepairOptions options = {}) {
    return value_of(repair_stream(env_, options_.directory, options));
  }
  ReadBack read() { return read_all(env_, options_.directory); }

  /// Where the blocks of a segment begin, found without the code under test: the checksum is not
  /// looked at.
  void destroy(const std::string& path, std::uint64_t position, std::size_t bytes) {
    auto file = value_of(env_.open(path, env::OpenMode::kReadWrite));
    std::vector<std::byte> noise(bytes);
    for (std::byte& byte : noise) byte = static_cast<std::byte>(env_.random_u64() | 1);
    value_of(file->write(position, noise));
    value_of(file->sync_data());
  }

  /// What is readable is true and in order, and what is not is named.
  void expect_exact(const ReadBack& back) {
    for (const auto& [offset, record] : back.records) {
      EXPECT_EQ(record, truth_.at(offset)) << "offset " << offset;
    }
    std::uint64_t covered = back.records.size();
    for (const Gap& gap : back.gaps) {
      covered += gap.count();
      EXPECT_EQ(gap.reason, format::GapReason::damage);
      for (std::uint64_t at = gap.first_offset; at < gap.next_offset; ++at) {
        EXPECT_FALSE(back.records.contains(at));
      }
    }
    EXPECT_EQ(covered, back.position);
  }

  Image image() {
    Image files;
    for (const std::string& name : value_of(env_.list(options_.directory))) {
      if (name.find(".spill") == std::string::npos) continue;
      auto file = value_of(env_.open(options_.directory + "/" + name, env::OpenMode::kRead));
      std::vector<std::byte> bytes(static_cast<std::size_t>(value_of(file->size())));
      value_of(file->read(0, bytes));
      files[name] = std::move(bytes);
    }
    return files;
  }

 private:
  env::SimEnv env_;
  StreamOptions options_;
  std::map<std::uint64_t, std::string> truth_;
  int serial_ = 0;
};

}  // namespace spillway::core::testing
