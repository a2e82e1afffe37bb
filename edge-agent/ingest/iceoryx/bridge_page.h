// BridgePage: what the reader process has counted, in memory that it shares with its parent, so that
// its death loses no count.
//
// The child alone writes, but for begin_life; the parent reads at any time. Numbers only grow.
#pragma once

#include <array>
#include <memory>

#include "edge-agent/ingest/iceoryx/sequence_tracker.h"
#include "spillway/core/atomic.h"
#include "spillway/core/ingest_config.h"
#include "spillway/core/result.h"

namespace spillway::agent::iceoryx {

/// Of one [[iceoryx.map]]. A sample that was taken is in exactly one of enqueued, rejected,
/// too_large, empty and seen_before.
struct MapCounters {
  using Count = core::Atomic<std::uint64_t>;

  Count taken{0};
  Count enqueued{0};
  Count rejected{0};     // the lane was full
  Count too_large{0};    // for the lane
  Count empty{0};        // without a byte, which no record may be
  Count seen_before{0};  // history that was told again
  Count lost{0};         // by iceoryx: the subscriber's queue was full
  Count unseen{0};       // that publishers had sent before the bridge heard of them
  Count held_up{0};      // times that a full lane held a blocking publisher up
  Count publishers{0};   // seen in this life of RouDi
  SequenceTracker tracker;

  void add(Count& count, std::uint64_t more) {
    count.store(count.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
};

struct BridgePage {
  core::Atomic<std::uint64_t> signs{0};  // of the child's life
  core::Atomic<std::uint32_t> attached{0};
  std::array<MapCounters, core::kIceoryxMapsMax> maps;

  /// Between children: publishers' ids begin anew with RouDi.
  void begin_life();
};

struct UnmapPage {
  void operator()(BridgePage* page) const;
};
using SharedPage = std::unique_ptr<BridgePage, UnmapPage>;

/// To be made before the fork.
[[nodiscard]] core::Result<SharedPage> make_shared_page();

}  // namespace spillway::agent::iceoryx
