#include <cstring>
#include <string>

#include "spillway/core/format.h"

namespace spillway::core {

bool FrameCursor::next(FrameView& frame) {
  const std::size_t room = frames_.size() - at_;
  if (room < kFrameHeaderBytes) return false;
  format::FrameHeader header;
  std::memcpy(&header, frames_.data() + at_, kFrameHeaderBytes);
  const std::uint32_t word = header.commit_word();
  // 'Nothing yet' and padding belong to a lane; a run of frames holds records only, and a record
  // has at least one byte. Padding is above the limit, so the range says it all.
  if (word < 2 || word > kRecordBytesLimit + 1) return false;
  if (header.flags() != 0 || header.reserved() != 0) return false;
  const std::size_t record_size = word - 1;
  const auto size = static_cast<std::size_t>(frame_bytes(record_size));
  if (size > room) return false;
  frame.ticks = header.ticks();
  frame.record = frames_.subspan(at_ + kFrameHeaderBytes, record_size);
  at_ += size;
  return true;
}

Result<std::uint32_t> count_frames(std::span<const std::byte> frames) {
  FrameCursor cursor(frames);
  FrameView frame;
  std::uint32_t count = 0;  // cannot wrap: a frame takes 32 bytes, a run at most 4 GiB
  while (cursor.next(frame)) ++count;
  if (!cursor.clean_end()) {
    return fail(ErrorCode::kCorrupt,
                "frame " + std::to_string(count) +
                    " of the run is not a whole, committed record with flags 0");
  }
  return count;
}

}  // namespace spillway::core
