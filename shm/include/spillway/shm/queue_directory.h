// QueueDirectory: the agent's side of the directory in which lanes appear, with the doorbell's
// page.
//
//   <queue_dir>/lanes/*.lane     lanes (3773: producers may make files, not list or remove others')
//   <queue_dir>/schemas/*.bfbs   what producers left to explain their records by (3773)
//   <queue_dir>/quarantine/      lanes that were set aside
//   <queue_dir>/journal/         journal pages (agent only)
//   <queue_dir>/control          the doorbell's page
//   <queue_dir>/agent.lock       held while an agent runs
//
// One thread. Refused: another owner, a symlink, a world-writable parent without sticky bit.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::shm {

class QueueDirectory {
 public:
  /// For the agent: makes what is missing, checks ownership and modes, takes the lock (kBusy: a
  /// second agent, by pid).
  [[nodiscard]] static core::Result<std::unique_ptr<QueueDirectory>> open(const std::string& path);
  virtual ~QueueDirectory() = default;

  [[nodiscard]] virtual const std::string& path() const = 0;
  /// Full paths of the lane files now there, sorted. Cheap when nothing has changed since the last
  /// call.
  [[nodiscard]] virtual core::Result<std::vector<std::string>> lanes() = 0;
  /// True if a lane may have come or gone since the last call of lanes().
  [[nodiscard]] virtual bool changed() = 0;
  /// Moves a lane to quarantine/ (kept for a person to look at; bounded: the oldest goes when there
  /// are 64).
  [[nodiscard]] virtual core::Result<void> quarantine(const std::string& lane_path) = 0;
  [[nodiscard]] virtual core::Result<void> remove(const std::string& lane_path) = 0;

  // --- schemas ---
  /// The bytes that a producer left under this fingerprint: a plain file of at most kSchemaBytesMax,
  /// and nothing more is known of it. kNotFound.
  [[nodiscard]] virtual core::Result<std::vector<std::byte>> read_schema(
      std::uint64_t fingerprint) = 0;
  virtual void remove_schema(std::uint64_t fingerprint) = 0;
  /// Removes what cannot be a schema, and each user's oldest beyond the 64 that one may have; never
  /// one that `named` holds.
  virtual void tidy_schemas(const std::set<std::uint64_t>& named) = 0;

  // --- doorbell (rule 7 of the lane) ---
  //   Awake --arm--> Armed --(looked: nothing)--> wait --> Armed --disarm--> Awake
  // A ring is an event of the watch on lanes/, which the kernel keeps until changed() reads it, and
  // of which this keeps that there was one until the next arm(): so what is committed behind the
  // look ends the wait at once, or has ended it. tests/model/doorbell.pml explores it.
  /// Announces sleep: `armed`, membarrier. The caller calls changed(), looks at all lanes, then
  /// calls wait(), then disarm().
  virtual void arm() = 0;
  /// Sleeps until a producer rings or ends, a lane comes, or timeout_ns has passed (sooner where
  /// this system cannot watch a directory). True if there is something to look at.
  [[nodiscard]] virtual bool wait(std::uint64_t timeout_ns) = 0;
  virtual void disarm() = 0;
  [[nodiscard]] virtual std::uint64_t rings() const = 0;
};

/// Where producers and agent meet when nothing is configured: $SPILLWAY_QUEUE_DIR, else
/// /run/spillway if it is there, else $XDG_RUNTIME_DIR/spillway.
[[nodiscard]] std::string default_queue_directory();

}  // namespace spillway::shm
