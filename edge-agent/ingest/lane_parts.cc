#include "edge-agent/ingest/lane_parts.h"

#include <span>

#include "spillway/core/frame.h"
#include "spillway/core/schema.h"
#include "spillway/core/topic.h"

namespace spillway::agent {

using core::ErrorCode;

std::string fitting_producer_name(std::string name) {
  if (name.size() <= core::kProducerNameBytesMax) return name;
  const std::string hash =
      core::fingerprint_text(core::schema_fingerprint(std::as_bytes(std::span(name))));
  std::size_t kept = core::kProducerNameBytesMax - hash.size() - 1;
  while (kept > 0 && (static_cast<unsigned char>(name[kept]) & 0xC0U) == 0x80U) --kept;
  return name.substr(0, kept) + "~" + hash;
}

bool has_room(const Producer& producer, std::size_t size) {
  if (size > producer.record_bytes_max()) return true;
  const std::uint64_t used = producer.position() - producer.reached_position(Level::kProcessSafe);
  // At worst as much is skipped at the ring's end as the frame takes.
  return used + 2 * core::frame_bytes(size) + core::kFrameHeaderBytes <= producer.capacity();
}

tl::unexpected<core::Error> lane_error(Status status, const std::string& topic) {
  const std::string what = "the lane for " + topic + ": " + status_text(status);
  switch (status) {
    case Status::kInvalid:
      return core::fail(ErrorCode::kInvalidArgument, what + ": " + error_detail());
    case Status::kTooLarge:
      return core::fail(ErrorCode::kInvalidArgument,
                        what +
                            ": its stream's segments take no record of this size; lower "
                            "max_record_bytes, or raise segment_bytes");
    case Status::kPermission:
      return core::fail(ErrorCode::kPermission, what + ": " + error_detail());
    default:
      return core::fail(ErrorCode::kUnavailable, what + ": " + error_detail());
  }
}

}  // namespace spillway::agent
