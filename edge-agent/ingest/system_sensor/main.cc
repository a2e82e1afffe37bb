// spillway-sensor: readings of this machine, as records.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <iostream>
#include <thread>

#include "edge-agent/ingest/system_sensor/sensor.h"
#include "spillway/core/atomic.h"
#include "spillway/core/service_notifier.h"

namespace {

using Clock = std::chrono::steady_clock;

spillway::core::Atomic<bool> stop_wanted{false};

struct Limits {
  double rate = 10;         // readings per second, all topics together
  std::uint64_t count = 0;  // 0: without end
  double seconds = 0;       // 0: without end
};

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_wanted.store(true, std::memory_order_relaxed); };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
}

/// Readings come at their times since the start; after a stall at most this much is made up for.
constexpr double kCatchUpSeconds = 0.1;

void run(spillway::agent::sensor::Sensor& sensor, const Limits& limits,
         spillway::core::ServiceNotifier& notifier) {
  auto start = Clock::now();
  const auto begin = start;
  double done = 0;
  std::uint64_t total = 0;
  while (!stop_wanted.load(std::memory_order_relaxed)) {
    const auto now = Clock::now();
    notifier.alive(
        static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count()));
    if (limits.seconds > 0 &&
        std::chrono::duration<double>(now - begin).count() >= limits.seconds) {
      return;
    }
    const double due = std::chrono::duration<double>(now - start).count() * limits.rate + 1;
    if (due - done > std::max(limits.rate * kCatchUpSeconds, 2.0)) {
      start = now;
      done = 0;
      continue;
    }
    while (done + 1 <= due) {
      if (limits.count != 0 && total == limits.count) return;
      sensor.read_next();
      done += 1;
      ++total;
    }
    if (limits.count != 0 && total == limits.count) return;
    // Short enough to see a stop soon at any rate.
    const double wait = std::clamp(1 / limits.rate, 0.0005, 0.1);
    std::this_thread::sleep_for(std::chrono::duration<double>(wait));
  }
}

void report(const spillway::agent::sensor::Sensor& sensor, bool as_json) {
  if (as_json) {
    std::cout << R"({"enqueued":)" << sensor.enqueued() << R"(,"rejected":)" << sensor.rejected()
              << R"(,"topics":)" << sensor.topics() << "}\n";
    return;
  }
  std::cout << "enqueued " << sensor.enqueued() << ", rejected " << sensor.rejected() << ", topics "
            << sensor.topics() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Enqueues readings of this machine (CPU, memory, load, disks, network, temperatures).",
      "spillway-sensor"};
  spillway::agent::sensor::SensorOptions options;
  Limits limits;
  app.add_option("--rate", limits.rate, "readings per second, all topics together")
      ->check(CLI::Range(0.001, 1'000'000.0))
      ->capture_default_str();
  app.add_option("--count", limits.count, "end after this many readings");
  app.add_option("--seconds", limits.seconds, "end after this time");
  app.add_option("--topic-prefix", options.topic_prefix,
                 "topics are PREFIX/cpu, PREFIX/memory, ...")
      ->capture_default_str();
  app.add_option("--name", options.name,
                 "producer name; one running sensor for each name and topic prefix")
      ->capture_default_str();
  app.add_option("--queue-dir", options.queue_dir, "queue directory");
  bool as_json = false;
  app.add_flag("--json", as_json, "report as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto sensor = spillway::agent::sensor::Sensor::open(options);
  if (!sensor) {
    std::cerr << "spillway-sensor: " << sensor.error().message << '\n';
    return spillway::core::exit_code_of(sensor.error());
  }
  handle_signals();
  spillway::core::ServiceNotifier notifier;
  notifier.ready();
  run(**sensor, limits, notifier);
  notifier.stopping();
  report(**sensor, as_json);
  return (*sensor)->rejected() == 0 ? 0 : 1;
}
