#include "edge-agent/ingest/iceoryx/lane_writer.h"

#include "edge-agent/ingest/lane_parts.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/schema.h"

namespace spillway::agent::iceoryx {
namespace {

core::ErrorCode code_of(Status status) {
  if (status == Status::kInvalid) return core::ErrorCode::kInvalidArgument;
  if (status == Status::kNoQueue) return core::ErrorCode::kNotFound;
  return status == Status::kPermission ? core::ErrorCode::kPermission : core::ErrorCode::kIo;
}

core::Result<std::vector<std::byte>> load_schema(const std::string& path) {
  if (path.empty()) return std::vector<std::byte>();
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), path, core::kSchemaBytesMax));
  if (const auto sound = core::check_schema(bytes); !sound) {
    return core::fail(
        core::ErrorCode::kInvalidArgument,
        "schema " + path + ": " + sound.error().message + " (it is to be a .bfbs file)");
  }
  return std::move(bytes);
}

}  // namespace

std::string producer_name_of(const core::IceoryxMapConfig& map) {
  return fitting_producer_name(map.service + "/" + map.instance + "/" + map.event);
}

core::Result<std::unique_ptr<LaneWriter>> LaneWriter::open(const std::string& queue_dir,
                                                           const core::IceoryxMapConfig& map) {
  std::unique_ptr<LaneWriter> writer(new LaneWriter(queue_dir, map));
  SPILLWAY_TRY(schema, load_schema(map.schema));
  writer->schema_ = std::move(schema);
  if (const Status status = writer->reopen(); status != Status::kOk) {
    return core::fail(code_of(status), "cannot open a lane for " + map.topic + ": " +
                                           status_text(status) + ": " + error_detail());
  }
  return writer;
}

Status LaneWriter::reopen() {
  producer_.close();
  const std::string name = producer_name_of(map_);
  ProducerOptions options;
  options.producer_name = name.c_str();
  options.lane_bytes = map_.lane_bytes;
  options.max_record_bytes = static_cast<std::uint32_t>(map_.max_record_bytes);
  options.schema = schema_;
  return producer_.open(queue_dir_.c_str(), map_.topic.c_str(), options);
}

Status LaneWriter::put(std::span<const std::byte> sample) {
  Status status = producer_.put(sample);
  // Closed: the lane was set aside, and no new one could be opened then.
  if (status != Status::kSetAside && status != Status::kClosed) return status;
  status = reopen();
  return status == Status::kOk ? producer_.put(sample) : status;
}

bool LaneWriter::has_room(std::size_t size) {
  if (!producer_.is_open()) return true;  // put opens it
  if (agent::has_room(producer_, size)) return true;
  return producer_.flush_until({}, Level::kProcessSafe) == Status::kSetAside;
}

}  // namespace spillway::agent::iceoryx
