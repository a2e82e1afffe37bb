// The sources of the system sensor: each reads one kind of thing from /proc or /sys and builds its
// table.
//
// One thread. Files stay open, so a reading costs one or two system calls.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "edge-agent/ingest/system_sensor/kept_file.h"
#include "spillway/schemas/system_generated.h"

namespace spillway::agent::sensor {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  [[nodiscard]] virtual std::string_view topic_level() const = 0;  // "cpu": system/cpu
  [[nodiscard]] virtual system::Measurement kind() const = 0;
  [[nodiscard]] virtual bool is_there() const = 0;
  [[nodiscard]] virtual flatbuffers::Offset<void> build(
      flatbuffers::FlatBufferBuilder& builder) = 0;
};

/// Those that this machine has.
[[nodiscard]] std::vector<std::unique_ptr<Source>> open_sources();

}  // namespace spillway::agent::sensor
