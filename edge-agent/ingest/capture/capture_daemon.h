// CaptureDaemon: runs every [[capture]] of a configuration, each on a thread of its own, and shows in
// <queue_dir>/capture.status how they do.
//
// A capture that fails is tried again, after a pause that grows (Pauses): the process ends for no
// error of a source, so that one database cannot take the others' capture down.
#pragma once

#include <thread>

#include "edge-agent/ingest/adapter_loop.h"
#include "edge-agent/ingest/capture/capture_run.h"

namespace spillway::agent::capture {

class CaptureDaemon {
 public:
  CaptureDaemon(core::env::Env& env, const core::Config& config);
  ~CaptureDaemon();
  CaptureDaemon(const CaptureDaemon&) = delete;
  CaptureDaemon& operator=(const CaptureDaemon&) = delete;

  /// Until SIGTERM or SIGINT, which the caller has blocked.
  void run();

 private:
  struct Worker {
    const core::CaptureConfig* capture = nullptr;
    CaptureStatus status;
    std::thread thread;
  };

  void work(Worker& worker);
  [[nodiscard]] std::string render() const;

  core::env::Env& env_;
  const core::Config& config_;
  std::atomic<bool> stop_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
  StatusPage page_{env_, config_, "capture"};
};

}  // namespace spillway::agent::capture
