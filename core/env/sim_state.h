// SimEnv's state, shared with its Files and Mappings. Private to core/env.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/env/sim_names.h"
#include "spillway/core/env/sim_env.h"

namespace spillway::core::env {

struct SimEnv::State {
  explicit State(std::uint64_t seed) : random(seed) {}

  /// Every change begins here. Throws PowerCut at the chosen step; the error of a chosen failure,
  /// or of a machine without power.
  [[nodiscard]] Result<void> begin_step(SimStep kind, const std::string& path);
  /// The same for bytes on their way into `inode`: at a power cut a part of them has already
  /// arrived.
  [[nodiscard]] Result<void> begin_write(SimStep kind, SimInode& inode, const std::string& path,
                                         std::size_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] bool may_fail(const std::string& path) const;
  [[nodiscard]] bool is_in_memory(const std::string& path) const;
  [[nodiscard]] Result<void> check_space(std::uint64_t more, const std::string& path) const;
  [[nodiscard]] Uuid random_uuid();
  void restart();

  SimRandom random;
  SimNames names;
  std::vector<std::string> volatile_roots;

  std::uint64_t steps = 0;
  std::uint64_t opens = 0;
  std::uint64_t reads = 0;
  SimStep last_kind = SimStep::kCreate;
  std::optional<std::uint64_t> cut_at;
  std::map<std::uint64_t, Error> failures;
  std::optional<std::uint64_t> broken_from;
  Error broken_with;
  FailingPlace failing_place = FailingPlace::kEverywhere;
  bool syncs_fail = false;
  std::size_t sector_bytes = 512;
  bool powered = true;
  std::uint64_t capacity_bytes = UINT64_MAX;
  std::uint64_t life = 0;  // counts restarts: handles of an earlier life are dead

  Uuid boot_id;
  std::uint64_t boottime_ns = 0;
  std::uint64_t utc_ns = 0;
  bool utc_certain = true;
};

/// A handle on an open file. `State` is passed as shared: handles may outlive their SimEnv.
[[nodiscard]] std::unique_ptr<File> make_sim_file(std::shared_ptr<SimEnv::State> state,
                                                  SimInodePointer inode, std::string path,
                                                  bool writable);

}  // namespace spillway::core::env
