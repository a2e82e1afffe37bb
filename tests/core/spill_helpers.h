// What the spill's tests share: lanes, runs of frames, a stream's options, reading everything back.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "spillway/core/schema.h"
#include "spillway/core/stream.h"
#include "spillway/core/stream_reader.h"

namespace spillway::core::testing {

template <typename T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline format::LaneIdentity make_identity(std::uint64_t lane_id,
                                          const std::string& topic = "sensor/a",
                                          const std::string& producer = "test") {
  format::LaneIdentity identity;
  identity.mutate_lane_id(lane_id);
  identity.mutate_created_boottime_ns(lane_id);
  identity.mutate_tick_rate_hz(1'000'000'000);
  identity.mutate_max_record_bytes(65536);
  identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::tsc));
  identity.mutate_topic_size(static_cast<std::uint8_t>(topic.size()));
  identity.mutate_producer_size(static_cast<std::uint8_t>(producer.size()));
  std::memcpy(identity.mutable_topic()->data(), topic.data(), topic.size());
  std::memcpy(identity.mutable_producer()->data(), producer.data(), producer.size());
  return identity;
}

inline void add_frame(std::vector<std::byte>& frames, const std::string& record,
                      std::uint64_t ticks = 0) {
  format::FrameHeader header(static_cast<std::uint32_t>(record.size()) + 1, 0, 0, ticks);
  const std::size_t at = frames.size();
  frames.resize(at + static_cast<std::size_t>(frame_bytes(record.size())));
  std::memcpy(frames.data() + at, &header, sizeof(header));
  std::memcpy(frames.data() + at + sizeof(header), record.data(), record.size());
}

inline std::vector<std::byte> make_frames(const std::vector<std::string>& records) {
  std::vector<std::byte> frames;
  for (const std::string& record : records) add_frame(frames, record);
  return frames;
}

inline Result<Appended> append_records(Stream& stream, std::uint64_t lane_id,
                                       const std::vector<std::string>& records,
                                       std::uint64_t lane_end = 0) {
  const std::vector<std::byte> frames = make_frames(records);
  return stream.append({lane_id, lane_end, frames, 1, 1});
}

inline Result<void> sync_now(Stream& stream) {
  auto plan = stream.plan_sync();
  if (!plan) return {};
  return stream.finish_sync(*plan, plan->run());
}

/// Everything that a reader finds, record by record.
struct ReadBack {
  std::map<std::uint64_t, std::string> records;  // by offset
  std::vector<Gap> gaps;
  std::map<std::uint64_t, std::uint64_t> journal_of;  // offset -> journal sequence
  std::map<std::uint64_t, Uuid> journals;
  std::size_t lane_blocks = 0;
  std::size_t clock_blocks = 0;
  std::size_t schema_blocks = 0;
  /// Data blocks of lanes that name a schema which does not stand before them in their segment.
  /// Counts from a segment's begin only.
  std::size_t unexplained = 0;
  std::map<std::uint64_t, std::uint64_t> fingerprint_of;         // by lane
  std::set<std::pair<std::uint64_t, std::uint64_t>> schemas_in;  // segment, fingerprint
  std::uint64_t position = 0;
};

inline void learn_schema(const Block& block, ReadBack& back) {
  const auto kind = static_cast<format::BlockKind>(block.header.kind());
  if (kind == format::BlockKind::lane) {
    format::LaneDeclaration declaration;
    std::memcpy(&declaration, block.stored.data(), sizeof declaration);
    const auto& identity = declaration.identity();
    back.fingerprint_of[identity.lane_id()] = identity.schema_fingerprint();
  }
  if (kind == format::BlockKind::schema) {
    ++back.schema_blocks;
    back.schemas_in.emplace(block.segment_sequence, schema_fingerprint(block.stored));
  }
  if (kind != format::BlockKind::data) return;
  const std::uint64_t fingerprint = back.fingerprint_of[block.header.lane_id()];
  if (fingerprint != 0 && !back.schemas_in.contains({block.segment_sequence, fingerprint})) {
    ++back.unexplained;
  }
}

inline void add_block(const Block& block, ReadBack& back) {
  const auto kind = static_cast<format::BlockKind>(block.header.kind());
  if (kind == format::BlockKind::lane) ++back.lane_blocks;
  if (kind == format::BlockKind::clock) ++back.clock_blocks;
  learn_schema(block, back);
  if (kind != format::BlockKind::data) return;
  FrameCursor frames(block.stored);
  FrameView frame;
  std::uint64_t offset = block.header.base_offset();
  while (frames.next(frame)) {
    if (offset >= block.skip_below) {
      EXPECT_FALSE(back.records.contains(offset)) << "offset " << offset << " came twice";
      back.records[offset].assign(reinterpret_cast<const char*>(frame.record.data()),
                                  frame.record.size());
      back.journal_of[offset] = block.journal_sequence;
    }
    ++offset;
  }
  EXPECT_TRUE(frames.clean_end());
  back.journals[block.journal_sequence] = block.journal;
}

inline void read_more(StreamReader& reader, ReadBack& back) {
  std::uint64_t at = reader.position();
  while (auto item = value_of(reader.next())) {
    if (const auto* gap = std::get_if<Gap>(&*item)) {
      EXPECT_EQ(gap->first_offset, at);
      back.gaps.push_back(*gap);
    } else {
      const Block& block = std::get<Block>(*item);
      if (block.header.count() > 0) {
        EXPECT_EQ(std::max(block.header.base_offset(), block.skip_below), at);
      }
      add_block(block, back);
    }
    at = reader.position();
  }
  back.position = reader.position();
}

inline ReadBack read_all(env::Env& env, const std::string& directory, std::uint64_t from = 0) {
  auto reader = value_of(StreamReader::open(env, directory));
  value_of(reader->seek(from));
  ReadBack back;
  read_more(*reader, back);
  return back;
}

/// A directory of its own under the test's temporary one, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    static int number = 0;
    path_ = ::testing::TempDir() + "spillway-" + std::to_string(::getpid()) + "-" +
            std::to_string(number++);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline StreamOptions small_options(const std::string& root) {
  StreamOptions options;
  options.name = "test";
  options.directory = root + "/spill/test";
  options.journal_page_path = root + "/run/journal/test";
  options.segment_bytes = 64 * 1024;
  options.max_bytes = 1 << 20;
  return options;
}

}  // namespace spillway::core::testing
