// What the queue's tests share: a queue directory of their own, records that can be checked,
// waiting with a watchdog.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "spillway/core/format.h"
#include "spillway/producer.h"
#include "spillway/shm/lane_reader.h"
#include "spillway/shm/queue_directory.h"

namespace spillway::tests {

using namespace std::chrono_literals;

inline std::chrono::steady_clock::time_point in(std::chrono::nanoseconds span) {
  return std::chrono::steady_clock::now() + span;
}

/// A record whose every byte follows from its number and size.
inline std::byte byte_of(std::uint64_t number, std::size_t at) {
  return static_cast<std::byte>((number * 131 + at * 7 + (number >> 8)) & 0xFF);
}
inline void fill_record(std::span<std::byte> room, std::uint64_t number) {
  for (std::size_t i = 0; i < room.size(); ++i) room[i] = byte_of(number, i);
  if (room.size() >= sizeof number) std::memcpy(room.data(), &number, sizeof number);
}
inline std::vector<std::byte> make_record(std::uint64_t number, std::size_t size) {
  std::vector<std::byte> record(size);
  fill_record(record, number);
  return record;
}
inline bool is_record(std::span<const std::byte> record, std::uint64_t number) {
  const std::vector<std::byte> wanted = make_record(number, record.size());
  return std::memcmp(wanted.data(), record.data(), record.size()) == 0;
}

/// A new queue directory, with the agent's side open; removed at the end.
class TempQueue {
 public:
  TempQueue() {
    static int count = 0;
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(::testing::TempDir()) /
            ("spillway-" + std::string(test == nullptr ? "x" : test->name()) + "-" +
             std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(root_);
    path_ = (root_ / "queue").string();
  }
  ~TempQueue() {
    directory_.reset();
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }
  TempQueue(const TempQueue&) = delete;
  TempQueue& operator=(const TempQueue&) = delete;

  shm::QueueDirectory& open() {
    auto opened = shm::QueueDirectory::open(path_);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    directory_ = std::move(*opened);
    return *directory_;
  }
  void close() { directory_.reset(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] shm::QueueDirectory& directory() { return *directory_; }
  /// The one lane of this queue.
  [[nodiscard]] std::string only_lane() {
    auto lanes = directory_->lanes();
    EXPECT_TRUE(lanes);
    EXPECT_EQ(lanes->size(), 1U);
    return lanes->empty() ? std::string() : lanes->front();
  }
  [[nodiscard]] std::unique_ptr<shm::LaneReader> attach_only_lane() {
    auto reader = shm::LaneReader::attach(only_lane());
    EXPECT_TRUE(reader) << (reader ? "" : reader.error().message);
    EXPECT_TRUE((*reader)->resume(0));
    return std::move(*reader);
  }

 private:
  std::filesystem::path root_;
  std::string path_;
  std::unique_ptr<shm::QueueDirectory> directory_;
};

/// The records of a walk, one after the other. False if the run is no run of frames.
inline bool for_each_record(std::span<const std::byte> frames,
                            const std::function<void(std::span<const std::byte>)>& seen) {
  // As the agent does: check in a copy.
  const std::vector<std::byte> copy(frames.begin(), frames.end());
  core::FrameCursor cursor(copy);
  core::FrameView frame;
  while (cursor.next(frame)) seen(frame.record);
  return cursor.clean_end();
}

}  // namespace spillway::tests
