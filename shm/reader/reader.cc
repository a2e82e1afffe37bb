// The C ABI of reading a spill: core's StreamReader behind a pointer, one record a call. A reader
// is used by one thread at a time.
//
// No exception leaves it: what runs out of memory here is a status there.
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "shm/producer/failure.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/lane_clock.h"
#include "spillway/core/stream_reader.h"
#include "spillway/spillway.h"

namespace {

using spillway::Status;
namespace core = spillway::core;
namespace format = spillway::format;

struct LaneNames {
  std::string topic;
  std::string producer;
};

Status status_of(core::ErrorCode code) {
  switch (code) {
    case core::ErrorCode::kInvalidArgument:
      return Status::kInvalid;
    case core::ErrorCode::kNotFound:
      return Status::kNoQueue;
    case core::ErrorCode::kPermission:
      return Status::kPermission;
    case core::ErrorCode::kFull:
      return Status::kNoSpace;
    case core::ErrorCode::kNewerVersion:
      return Status::kNewerVersion;
    case core::ErrorCode::kCorrupt:
    case core::ErrorCode::kProtocol:
      return Status::kCorrupt;
    default:
      return Status::kSystem;
  }
}

spillway_status answer(Status status) { return static_cast<spillway_status>(status); }

spillway_status answer(const core::Error& error) {
  return answer(spillway::shm::failed(status_of(error.code), "reader:", error.message.c_str(), ""));
}

spillway_status answer(const std::exception& exception) {
  return answer(spillway::shm::failed(Status::kSystem, "reader:", exception.what(), ""));
}

}  // namespace

struct spillway_reader {
  std::unique_ptr<core::StreamReader> stream;
  core::LaneClock clock;
  std::unordered_map<std::uint64_t, LaneNames> lanes;
  // The data block in hand: its bytes are the stream reader's own until its next call.
  std::optional<core::Block> block;
  std::optional<core::FrameCursor> frames;
  std::uint64_t next_offset = 0;

  spillway_status next(spillway_record& record);

 private:
  bool next_in_block(spillway_record& record);
  void take(const core::Block& found);
};

bool spillway_reader::next_in_block(spillway_record& record) {
  core::FrameView frame;
  while (frames && frames->next(frame)) {
    const std::uint64_t offset = next_offset++;
    const core::ProducedAt produced = clock.produced_at(block->header, frame.ticks);
    if (offset < block->skip_below) continue;
    const LaneNames& names = lanes[block->header.lane_id()];
    record = {offset,
              frame.record.data(),
              frame.record.size(),
              names.topic.c_str(),
              names.producer.c_str(),
              static_cast<std::int64_t>(produced.utc_ns)};
    return true;
  }
  frames.reset();
  return false;
}

void spillway_reader::take(const core::Block& found) {
  const auto kind = static_cast<format::BlockKind>(found.header.kind());
  clock.learn(found.header, found.stored);
  if (kind == format::BlockKind::lane && found.stored.size() == sizeof(format::LaneDeclaration)) {
    format::LaneDeclaration lane;
    std::memcpy(&lane, found.stored.data(), sizeof lane);
    lanes[lane.identity().lane_id()] = {std::string(core::topic_of(lane.identity())),
                                        std::string(core::producer_of(lane.identity()))};
  }
  if (kind != format::BlockKind::data) return;
  block = found;
  frames.emplace(found.stored);
  next_offset = found.header.base_offset();
}

spillway_status spillway_reader::next(spillway_record& record) {
  while (!next_in_block(record)) {
    auto item = stream->next();
    if (!item) return answer(item.error());
    if (!*item) return SPILLWAY_END;
    // A gap shows in the next record's offset; `spillway tail` and the consumer tell its reason.
    const auto* found = std::get_if<core::Block>(&**item);
    if (found == nullptr) continue;
    if (found->header.codec() != static_cast<std::uint8_t>(format::Codec::none)) {
      return answer(spillway::shm::failed(Status::kNewerVersion, "reader:", "a compressed block",
                                          "use a newer libspillway-reader"));
    }
    take(*found);
  }
  return SPILLWAY_OK;
}

spillway_status spillway_reader_open(const char* spill_dir, const char* stream,
                                     uint64_t from_offset, spillway_reader** reader) {
  if (reader != nullptr) *reader = nullptr;
  if (spill_dir == nullptr || stream == nullptr || reader == nullptr || *stream == '\0' ||
      std::strchr(stream, '/') != nullptr) {
    return answer(spillway::shm::failed(Status::kInvalid,
                                        "reader:", "an argument is NULL or no stream's name", ""));
  }
  spillway::shm::clear_failure();
  try {
    auto made = std::make_unique<spillway_reader>();
    auto opened =
        core::StreamReader::open(core::env::posix_env(), std::string(spill_dir) + "/" + stream);
    if (!opened) return answer(opened.error());
    made->stream = std::move(*opened);
    if (auto sought = made->stream->seek(from_offset); !sought) return answer(sought.error());
    *reader = made.release();
    return SPILLWAY_OK;
  } catch (const std::exception& exception) {
    return answer(exception);
  }
}

spillway_status spillway_reader_next(spillway_reader* reader, spillway_record* record) {
  if (reader == nullptr || record == nullptr) return SPILLWAY_INVALID;
  try {
    return reader->next(*record);
  } catch (const std::exception& exception) {
    return answer(exception);
  }
}

void spillway_reader_close(spillway_reader* reader) { delete reader; }
