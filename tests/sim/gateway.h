// Gateway: one machine with its producers, its agent and its uplink, and what can befall it.
//
// One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/agent.h"
#include "tests/sim/machine.h"
#include "tests/sim/network.h"
#include "tests/sim/producers.h"
#include "tests/sim/uplink_process.h"

namespace spillway::sim {

class Gateway {
 public:
  Gateway(Context& context, Ledger& ledger, std::size_t number, const Path::Accept& listener);

  /// Producers put records until `until_ns`.
  void start(std::uint64_t until_ns);

  // --- what befalls it ---
  void kill_agent();
  void kill_uplink();
  /// Both processes, or the power, at one of the next changes on the disk.
  void stop_soon(bool power);
  void back_up();
  /// The disk is as it was at the last backup. False: there is none.
  bool restore();
  void fill_disk(std::uint64_t for_ns);
  void fail_disk(std::uint64_t for_ns);
  void jump_clock();
  /// No fault is left.
  void heal();

  [[nodiscard]] Path& path() { return path_; }
  [[nodiscard]] Machine& machine() { return machine_; }
  [[nodiscard]] const core::Uuid& id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Producers& producers() const { return producers_; }
  [[nodiscard]] const std::vector<StreamPlan>& plans() const { return plans_; }
  [[nodiscard]] const Agent* agent() const { return agent_.get(); }
  [[nodiscard]] const UplinkProcess* uplink() const { return uplink_.get(); }

 private:
  void plan_stream(std::size_t number);
  void boot();
  void start_agent(std::uint64_t after_ns);
  void start_uplink(std::uint64_t after_ns);
  void stop(bool power);
  void put_records(std::uint64_t until_ns);
  void plant_journal_pages();

  Context& context_;
  Ledger& ledger_;
  std::string name_;
  core::Uuid id_;
  Machine machine_;
  Path path_;
  Producers producers_;
  std::vector<StreamPlan> plans_;
  UplinkSetup setup_;
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<UplinkProcess> uplink_;
  std::uint64_t put_ns_max_;
  std::uint64_t put_bytes_left_;
  bool stops_by_power_ = false;
  std::uint64_t disk_serial_ = 0;
  std::optional<Machine::Backup> backup_;
  std::vector<std::size_t> backed_up_;
  std::vector<core::Uuid> journals_;  // of each stream, when it last ran
  Life boot_ = begin_life();
};

}  // namespace spillway::sim
