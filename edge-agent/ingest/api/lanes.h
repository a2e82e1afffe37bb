// Lanes: where batches go. The real one (lane_book.h) has a lane and a thread for each topic; tests
// and fuzzers have their own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "edge-agent/ingest/api/batch.h"
#include "edge-agent/ingest/api/topic_schema.h"
#include "spillway/status.h"

namespace spillway::agent::api {

/// What became of a batch: all of it, or nothing.
struct Outcome {
  Status status = Status::kOk;  // kFull: no room now; kTooLarge: larger than the lane ever takes
  Level reached = Level::kAccepted;
  std::string detail;
};
using Done = std::function<void(const Outcome&)>;

struct Job {
  std::string topic;
  std::shared_ptr<TopicSchema> schema;  // may be null
  std::shared_ptr<const Batch> batch;
  Level level = Level::kAccepted;
  Done done;  // called once, in the caller's thread, when the level is reached or can never be
};

class Lanes {
 public:
  Lanes() = default;
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;
  virtual ~Lanes() = default;

  /// Takes its batches for one topic in the order of the calls.
  virtual void submit(Job job) = 0;
  /// The largest record that a lane takes.
  [[nodiscard]] virtual std::size_t record_bytes_max() const = 0;
  [[nodiscard]] virtual std::size_t open_lanes() const = 0;
};

}  // namespace spillway::agent::api
