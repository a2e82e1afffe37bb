#include "edge-agent/ingest/capture/capture_daemon.h"

#include <unistd.h>

#include <boost/json.hpp>

#include "edge-agent/ingest/capture/make_source.h"
#include "spillway/core/log.h"

namespace spillway::agent::capture {
namespace {

namespace json = boost::json;

json::object json_of(const core::CaptureConfig& capture, const CaptureCounts& counts) {
  return {{"name", capture.name},
          {"state", counts.state},
          {"error", counts.error},
          {"epoch", counts.epoch},
          {"position", counts.position},
          {"commit_time_us", counts.commit_time_us},
          {"changes", counts.changes},
          {"records", counts.records},
          {"snapshot_rows", counts.snapshot_rows},
          {"split_changes", counts.split_changes},
          {"already_there", counts.already_there},
          {"maybe_repeated", counts.maybe_repeated},
          {"lives", counts.lives}};
}

}  // namespace

CaptureDaemon::CaptureDaemon(core::env::Env& env, const core::Config& config)
    : env_(env), config_(config) {
  for (const auto& capture : config.captures) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->capture = &capture;
  }
}

CaptureDaemon::~CaptureDaemon() {
  stop_.store(true, std::memory_order_relaxed);
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void CaptureDaemon::run() {
  for (const auto& worker : workers_) {
    worker->thread = std::thread([this, &worker = *worker] { work(worker); });
  }
  serve_until_signal(env_, [this] { page_.show(render()); });
  stop_.store(true, std::memory_order_relaxed);
  for (const auto& worker : workers_) worker->thread.join();
  page_.show(render());
}

void CaptureDaemon::work(Worker& worker) {
  auto source = make_source(*worker.capture);
  if (!source) {
    spdlog::error("{}", source.error().message);
    worker.status.edit([&](CaptureCounts& counts) {
      counts.state = "failed";
      counts.error = source.error().message;
    });
    return;
  }
  CaptureRun life(env_, config_, *worker.capture, **source, worker.status, stop_);
  Pauses pauses(stop_);
  std::string said;
  while (!stop_.load(std::memory_order_relaxed)) {
    worker.status.edit([](CaptureCounts& counts) { ++counts.lives; });
    pauses.life_begins();
    const auto ended = life.run();
    if (ended) break;
    pauses.life_failed();
    const std::string& error = ended.error().message;
    // The same error again and again is one line, and stands in the status.
    if (error != said) spdlog::error("{}: {}", worker.capture->name, error);
    said = error;
    worker.status.edit([&](CaptureCounts& counts) {
      counts.state = "resting after a failure";
      counts.error = error;
    });
    pauses.rest();
  }
  worker.status.edit([](CaptureCounts& counts) { counts.state = "stopped"; });
}

std::string CaptureDaemon::render() const {
  json::array captures;
  for (const auto& worker : workers_) {
    captures.push_back(json_of(*worker->capture, worker->status.read()));
  }
  return json::serialize(json::object{{"adapter", "capture"},
                                      {"pid", ::getpid()},
                                      {"version", SPILLWAY_VERSION},
                                      {"captures", std::move(captures)}});
}

}  // namespace spillway::agent::capture
