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
  /// For everybody else: the newest valid slot; nothing if there is none (a new uplink starts at
  /// the oldest record).
  [[nodiscard]] static Result<std::optional<CursorPosition>> load(env::Env& env,
                                                                  const std::string& path);

  virtual ~Cursor() = default;
  [[nodiscard]] virtual const std::optional<CursorPosition>& position() const = 0;
  /// Writes the other slot. Survives a kill at once; a power cut only after sync().
  [[nodiscard]] virtual Result<void> advance(const CursorPosition& position) = 0;
  [[nodiscard]] virtual Result<void> sync() = 0;
};

}  // namespace spillway::core
