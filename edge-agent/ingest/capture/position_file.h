// PositionFile: how far a capture has got, <state_dir>/<name>.position.
//
// Two checksummed slots in separate 4 KiB pages, written in turn: a torn write harms only the older
// one. Locked while it is open. One thread.
//
// Invariants:
//  1. Every record up to `safe` is as safe in the spill as the capture's level asks for, or has been
//     delivered: nothing up to there has to be looked for ever again.
//  2. While `open` is false no record behind `safe` exists. It is true, and synced, before the first
//     one is put.
//  3. A record behind `safe` stands at or behind its stream's mark, unless it was freed since.
//  4. The source is told to forget what is up to `safe` only after that was synced here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "edge-agent/ingest/capture/change.h"
#include "spillway/core/env/env.h"

namespace spillway::agent::capture {

/// How far a source is with its own beginnings; what it means is the source's business.
enum class Phase : std::uint8_t { kNew, kMaking, kSnapshot, kStreaming };

/// A place in a stream from which on the capture's unsaved records are to be looked for.
struct StreamMark {
  std::string stream;
  core::Uuid journal;
  std::uint64_t offset = 0;
};

struct SavedPosition {
  std::uint64_t epoch = 0;
  Key safe;
  Key previous;  // `safe` of the save before: the source knows of one of the two
  bool open = false;
  Phase phase = Phase::kNew;
  std::uint64_t source_position = 0;  // the source's own
  std::string source_identity;        // likewise
  std::vector<StreamMark> marks;
};

class PositionFile {
 public:
  /// kBusy: another capture of this name runs. kCorrupt: both slots are bad.
  [[nodiscard]] static core::Result<std::unique_ptr<PositionFile>> open(core::env::Env& env,
                                                                        const std::string& path);

  /// Nothing before the first store.
  [[nodiscard]] const std::optional<SavedPosition>& saved() const { return saved_; }
  /// Survives a kill at once; a power cut only if it is synced.
  [[nodiscard]] core::Result<void> store(const SavedPosition& position, bool sync);

 private:
  PositionFile() = default;

  std::unique_ptr<core::env::File> file_;
  std::optional<SavedPosition> saved_;
  std::uint64_t sequence_ = 0;
  std::uint64_t safe_slot_ = 1;  // the newest that was synced
};

}  // namespace spillway::agent::capture
