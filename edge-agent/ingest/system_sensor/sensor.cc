#include "edge-agent/ingest/system_sensor/sensor.h"

#include <ctime>

#include "edge-agent/schemas/builtin_schemas.h"

namespace spillway::agent::sensor {
namespace {

std::uint64_t read_boottime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

core::ErrorCode code_of(Status status) {
  switch (status) {
    case Status::kInvalid:
      return core::ErrorCode::kInvalidArgument;
    case Status::kNoQueue:
      return core::ErrorCode::kNotFound;
    case Status::kPermission:
      return core::ErrorCode::kPermission;
    default:
      return core::ErrorCode::kIo;
  }
}

}  // namespace

core::Result<std::unique_ptr<Sensor>> Sensor::open(const SensorOptions& options) {
  std::unique_ptr<Sensor> sensor(new Sensor());
  for (auto& source : open_sources()) {
    const std::string topic = options.topic_prefix + "/" + std::string(source->topic_level());
    auto producer = std::make_unique<Producer>();
    ProducerOptions lane;
    lane.producer_name = options.name.c_str();
    lane.schema = system_schema().bfbs;
    const char* queue_dir = options.queue_dir.empty() ? nullptr : options.queue_dir.c_str();
    if (const auto status = producer->open(queue_dir, topic.c_str(), lane); status != Status::kOk) {
      return core::fail(code_of(status), "cannot open a lane for " + topic + ": " +
                                             status_text(status) + ": " + error_detail());
    }
    sensor->channels_.push_back({std::move(source), std::move(producer), 0});
  }
  if (sensor->channels_.empty()) {
    return core::fail(core::ErrorCode::kIo, "nothing to read: /proc is not mounted");
  }
  return sensor;
}

void Sensor::read_next() {
  auto& channel = channels_[next_++ % channels_.size()];
  builder_.Clear();
  const auto measurement = channel.source->build(builder_);
  const auto reading = system::CreateReading(builder_, channel.sequence, read_boottime_ns(),
                                             channel.source->kind(), measurement);
  system::FinishReadingBuffer(builder_, reading);
  const auto bytes = std::as_bytes(std::span(builder_.GetBufferPointer(), builder_.GetSize()));
  if (channel.producer->put(bytes) == Status::kOk) {
    ++channel.sequence;
    ++enqueued_;
  } else {
    ++rejected_;
  }
}

}  // namespace spillway::agent::sensor
