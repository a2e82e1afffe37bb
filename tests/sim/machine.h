// Machine: a gateway's simulated computer: its disk, its tmpfs, its clocks, and what happens when the power
// fails, or everything is killed, in the middle of something.
//
// One thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "spillway/core/env/sim_env.h"
#include "tests/sim/context.h"

namespace spillway::sim {

class Machine {
 public:
  static constexpr const char* kSpill = "/sim/spill";
  static constexpr const char* kRun = "/sim/run";  // in tmpfs
  static constexpr const char* kJournalPages = "/sim/run/journal";

  Machine(Context& context, std::string name);

  [[nodiscard]] core::env::SimEnv& env() { return env_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// What a process does at an event. If the machine stops in the middle of it, `on_stop` is called
  /// when the process's frames are gone.
  void run(const std::function<void()>& work);
  void when_stopped(std::function<void()> on_stop) { on_stop_ = std::move(on_stop); }
  /// The machine stops before one of the next changes on its disk.
  void stop_at_a_step(std::uint64_t steps);
  [[nodiscard]] bool will_stop() const { return will_stop_; }
  void forget_stop();
  /// A change on the disk has failed, or may have.
  void note_disk_failure() { disk_failed_ = true; }
  [[nodiscard]] bool disk_failed() const { return disk_failed_; }

  /// All files of the disk, as a backup of the running machine finds them.
  using Backup = std::map<std::string, std::vector<std::byte>>;
  [[nodiscard]] Backup back_up();
  /// Only while nothing runs.
  void restore(const Backup& backup);

 private:
  void collect(const std::string& directory, Backup& backup);
  void clear(const std::string& directory);

  Context& context_;
  std::string name_;
  core::env::SimEnv env_;
  std::uint64_t clock_read_ns_ = 0;
  bool will_stop_ = false;
  bool disk_failed_ = false;
  std::function<void()> on_stop_;
};

}  // namespace spillway::sim
