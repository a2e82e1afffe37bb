#include "edge-agent/ingest/capture/capture_daemon.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>

#include "edge-agent/ingest/capture/make_source.h"
#include "spillway/core/log.h"
#include "spillway/core/service_notifier.h"

namespace spillway::agent::capture {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr long kTickNs = 250'000'000;

int next_signal() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  const timespec wait{0, kTickNs};
  const int signal = ::sigtimedwait(&set, nullptr, &wait);
  return signal < 0 ? 0 : signal;
}

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
  core::ServiceNotifier notifier;
  for (const auto& worker : workers_) {
    worker->thread = std::thread([this, &worker = *worker] { work(worker); });
  }
  notifier.ready();
  int signal = 0;
  while (signal == 0) {
    signal = next_signal();
    notifier.alive(env_.boottime_ns());
    show_status();
  }
  spdlog::info("ended by signal {}", signal);
  notifier.stopping();
  stop_.store(true, std::memory_order_relaxed);
  for (const auto& worker : workers_) worker->thread.join();
  show_status();
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
  std::chrono::milliseconds pause = kRestMin;
  std::string said;
  while (!stop_.load(std::memory_order_relaxed)) {
    worker.status.edit([](CaptureCounts& counts) { ++counts.lives; });
    const auto began = Clock::now();
    const auto ended = life.run();
    if (ended) break;
    if (Clock::now() - began >= kStableAfter) pause = kRestMin;
    const std::string& error = ended.error().message;
    // The same error again and again is one line, and stands in the status.
    if (error != said) spdlog::error("{}: {}", worker.capture->name, error);
    said = error;
    worker.status.edit([&](CaptureCounts& counts) {
      counts.state = "resting after a failure";
      counts.error = error;
    });
    rest(pause);
    pause = std::min(pause * 2, kRestMax);
  }
  worker.status.edit([](CaptureCounts& counts) { counts.state = "stopped"; });
}

void CaptureDaemon::rest(std::chrono::milliseconds time) const {
  constexpr std::chrono::milliseconds kTurn{50};
  const auto end = Clock::now() + time;
  while (!stop_.load(std::memory_order_relaxed) && Clock::now() < end) {
    std::this_thread::sleep_for(kTurn);
  }
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

void CaptureDaemon::show_status() {
  std::string text = render();
  if (text == shown_) return;
  const auto written = core::env::replace_file(env_, config_.gateway.queue_dir + "/capture.status",
                                               std::as_bytes(std::span(text)));
  // Before the agent's first start there is no queue directory, and nothing is wrong with that.
  if (!written && shows_ && written.error().code != core::ErrorCode::kNotFound) {
    spdlog::warn("the status cannot be shown: {}", written.error().message);
  }
  shows_ = written.has_value();
  if (written) shown_ = std::move(text);
}

}  // namespace spillway::agent::capture
