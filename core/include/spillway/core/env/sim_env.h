// SimEnv: a file system in memory with the power switch in the test's hand.
//
// Each file has a volatile image (what processes see) and a durable one (what a power cut leaves).
// A name, too, is volatile until its directory was synced. Every change (Mapping::write,
// store_release, File::write, allocate, rename, remove, create, sync) is a numbered step; the test
// can ask that the power fails at step n, or that step n returns an error. Deterministic by seed.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "spillway/core/env/env.h"

namespace spillway::core::env {

/// Thrown by SimEnv at the chosen step, so that the code under test goes no further. Only tests
/// catch it.
struct PowerCut {
  std::uint64_t step = 0;
};

enum class SimStep : std::uint8_t {
  kMapWrite,
  kFileWrite,
  kAllocate,
  kRename,
  kRemove,
  kCreate,
  kSyncData,
  kSyncDirectory
};

/// Whose steps fail, of those that are to fail.
enum class FailingPlace : std::uint8_t { kEverywhere, kDisk, kMemory };

class SimEnv final : public Env {
 public:
  struct State;  // private to core/env: shared with the Files and Mappings, which may outlive the
                 // SimEnv

  explicit SimEnv(std::uint64_t seed);
  ~SimEnv() override;

  /// The power fails just before step `step` (counted from 0 since construction) takes effect.
  void cut_power_at(std::optional<std::uint64_t> step);
  /// Step `step` returns `error` instead of taking effect (a failed sync_data leaves its sectors as
  /// a power cut would: each kept or dropped by seed, and clean in the page cache, as Linux does).
  void fail_at(std::uint64_t step, Error error);
  /// Step `step` and every one after it fails.
  void fail_from(std::uint64_t step, Error error);
  /// From now on only steps below a `volatile_root` fail, or only those elsewhere.
  void set_failing_place(FailingPlace place);
  /// The disk works again.
  void stop_failing();
  /// What a power cut keeps or loses at once, of the files made from now on: 512 (default) or 4096.
  void set_sector_bytes(std::size_t bytes);
  /// Every sync_data from now on fails, or works again.
  void fail_syncs(bool fail);
  /// Disk space for allocate() and growth, of files below no `volatile_root`; default without bound.
  void set_capacity_bytes(std::uint64_t bytes);

  [[nodiscard]] std::uint64_t steps() const;
  [[nodiscard]] SimStep kind_of_last_step() const;
  /// Opened files and reads so far: what a start costs is counted, not timed.
  [[nodiscard]] std::uint64_t opens() const;
  [[nodiscard]] std::uint64_t reads() const;

  /// After a cut (or at any time): volatile images and names become what the disk holds: each
  /// unsynced sector is kept, dropped or (when it was being written at the cut, or was rewritten
  /// since its last sync) torn or destroyed, by seed; each unsynced name change kept or dropped.
  /// New boot id; BOOTTIME starts again near 0. Paths below a `volatile_root` are gone, as tmpfs
  /// is. All Files and Mappings opened before must have been destroyed by then or are dead (their
  /// writes go nowhere).
  void restart_after_power_cut();
  /// kill -9: all volatile state stays, open files and locks are dropped. Old Files and Mappings
  /// are dead.
  void restart_after_kill();
  /// Paths that start with this live in tmpfs: gone after a power cut, kept over a kill.
  void set_volatile_root(std::string prefix);

  void advance_ns(std::uint64_t ns);
  void set_utc_ns(std::uint64_t ns, bool certain);

  /// Flips one bit of the volatile and durable image, as a decaying flash cell does.
  void flip_bit(const std::string& path, std::uint64_t bit);

  // Env
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directories(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<std::vector<SizedName>> list_sizes(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  std::uint64_t boottime_ns() override;
  std::uint64_t utc_ns() override;
  bool utc_is_certain() override;
  Uuid boot_id() override;
  std::uint64_t random_u64() override;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace spillway::core::env
