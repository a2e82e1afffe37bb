// Cursor: how far one uplink has been acknowledged in one stream; the file `cursors/<uplink>`.
//
// Two checksummed slots in separate 4 KiB pages, written in turn and synced: a torn write harms
// only the older one. The uplink writes (one thread), the agent reads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"

namespace spillway::core {

struct CursorPosition {
  Uuid journal;
  std::uint64_t journal_sequence = 0;
  std::uint64_t next_offset = 0;
};

class Cursor {
 public:
  /// For the uplink: opens or makes the file and locks it (kBusy: another uplink of this name
  /// runs).
  [[nodiscard]] static Result<std::unique_ptr<Cursor>> open(env::Env& env, const std::string& path);
  /// For the uplink: its cursor in the stream whose directory this is. Where the stream has a
  /// directory in memory (docs/format.md, 'memory-first'), the cursor stands there, and is put on the
  /// disk by sync() as long as the disk holds segments.
  [[nodiscard]] static Result<std::unique_ptr<Cursor>> open_in(env::Env& env,
                                                               const std::string& directory,
                                                               const std::string& uplink);
  /// For everybody else: the newest valid slot; nothing if there is none (a new uplink starts at
  /// the oldest record).
  [[nodiscard]] static Result<std::optional<CursorPosition>> load(env::Env& env,
                                                                  const std::string& path);

  virtual ~Cursor() = default;
  [[nodiscard]] virtual const std::optional<CursorPosition>& position() const = 0;
  /// Writes the other slot. Survives a kill at once; a power cut only after sync().
  [[nodiscard]] virtual Result<void> advance(const CursorPosition& position) = 0;
  [[nodiscard]] virtual Result<void> sync() = 0;
  /// The same, on the disk, wherever the stream stands: for the clean end.
  [[nodiscard]] virtual Result<void> sync_to_disk() { return sync(); }
};

}  // namespace spillway::core
