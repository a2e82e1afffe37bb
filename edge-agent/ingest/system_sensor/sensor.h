// Sensor: the system's sources, each with a lane of its own, read in turn.
//
// One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edge-agent/ingest/system_sensor/readings.h"
#include "spillway/core/result.h"
#include "spillway/producer.h"

namespace spillway::agent::sensor {

struct SensorOptions {
  std::string queue_dir;  // empty: where producers look by default
  std::string topic_prefix = "system";
  std::string name = "spillway-sensor";
};

class Sensor {
 public:
  [[nodiscard]] static core::Result<std::unique_ptr<Sensor>> open(const SensorOptions& options);

  /// Reads the next source and enqueues the reading. A full lane refuses it: it is counted, and the
  /// next one goes on.
  void read_next();
  [[nodiscard]] std::uint64_t enqueued() const { return enqueued_; }
  [[nodiscard]] std::uint64_t rejected() const { return rejected_; }
  [[nodiscard]] std::size_t topics() const { return channels_.size(); }

 private:
  struct Channel {
    std::unique_ptr<Source> source;
    std::unique_ptr<Producer> producer;
    std::uint64_t sequence = 0;
  };

  Sensor() = default;

  std::vector<Channel> channels_;
  flatbuffers::FlatBufferBuilder builder_{16 * 1024};
  std::size_t next_ = 0;
  std::uint64_t enqueued_ = 0;
  std::uint64_t rejected_ = 0;
};

}  // namespace spillway::agent::sensor
