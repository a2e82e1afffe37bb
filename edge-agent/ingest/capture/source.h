// Source: a database whose changes are captured, as the capture sees it.
//
// One thread. Calls may block for as long as the source's own timeouts say, which are bounded.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "edge-agent/ingest/capture/position_file.h"

namespace spillway::agent::capture {

/// What a source says of itself when it has been opened.
struct Opened {
  std::uint64_t epoch = 0;
  Key confirmed;  // it holds nothing up to here any more
};

struct Batch {
  std::vector<Change> changes;
  /// There is more at once: do not rest.
  bool more = false;
  void clear() {
    changes.clear();
    more = false;
  }
};

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  /// Connects, makes what is missing if it may, and says where the history stands. The position file
  /// may be written where the source has to note how far its beginnings have got.
  [[nodiscard]] virtual core::Result<Opened> open(PositionFile& position) = 0;
  /// The position up to which everything is in the spill: nothing up to it is offered again.
  [[nodiscard]] virtual core::Result<void> start(const Key& safe) = 0;
  /// The next changes, ascending, at most about kBatchChanges; waits for at most `wait` where there
  /// is none. What is offered is not offered again before the next open().
  [[nodiscard]] virtual core::Result<void> fetch(Batch& batch, std::chrono::milliseconds wait) = 0;
  /// Everything up to the key is safe: the source may forget it.
  [[nodiscard]] virtual core::Result<void> confirm(const Key& safe) = 0;
  /// Keeps a connection alive while nothing is fetched, because the lanes are full.
  [[nodiscard]] virtual core::Result<void> keep_alive() { return {}; }
  /// What of the source's own is to be stored before what was fetched last is put; true if there is any.
  [[nodiscard]] virtual bool note_offered(SavedPosition& position) {
    static_cast<void>(position);
    return false;
  }
  /// What of the source's own is to be stored with this position, before confirm() is told of it.
  virtual void note(SavedPosition& position) { static_cast<void>(position); }
  /// There is something to note although nothing was fetched.
  [[nodiscard]] virtual bool wants_note() const { return false; }
  /// "snapshot", "streaming" ...
  [[nodiscard]] virtual std::string state() const = 0;
};

inline constexpr std::size_t kBatchChanges = 2000;
inline constexpr std::size_t kBatchBytes = 2U << 20;

}  // namespace spillway::agent::capture
