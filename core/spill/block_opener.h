// BlockOpener: what a reader hands out of a compressed block: what it stands for, or the block as it is
// stored, once it is known to decode. Private to core/spill; one thread.
#pragma once

#include <vector>

#include "core/spill/segment_file.h"
#include "core/spill/segment_scan.h"
#include "spillway/core/codec.h"
#include "spillway/core/stream_reader.h"

namespace spillway::core {

/// A scanned block as a reader hands it out.
[[nodiscard]] Block block_of(const ScannedBlock& scanned, const SegmentInfo& segment);

class BlockOpener {
 public:
  void offer_stored(bool stored) { offers_stored_ = stored; }
  [[nodiscard]] bool offers_stored() const { return offers_stored_; }
  /// A segment reads alone: what the one before it declared does not count.
  void begin_segment() { decoder_.forget(); }
  /// Takes a dictionary; other kinds are passed over.
  void learn(const ScannedBlock& block);
  /// Decodes where blocks are not offered as stored, sealed as if it had been stored so; good until the
  /// next call. False: its bytes are damage.
  [[nodiscard]] bool open(const ScannedBlock& scanned, Block& block);

 private:
  bool offers_stored_ = false;
  BlockDecoder decoder_;
  std::vector<std::byte> decoded_;
};

}  // namespace spillway::core
