// repair_stream: `verify --repair`. Makes what can still be proven in a damaged spill readable
// again, writes down exactly what is lost, and leaves a spill that verify calls good.
//
// Needs the stream's directory and nothing else, with the rights of its owner. Neither agent nor
// uplink may run on it (kBusy names the lock). One thread.
//
//   verify -> for each damaged segment, the oldest first: plan what can be salvaged -> write it anew
//   under a name of its own, synced -> write down what is lost, synced -> keep the damaged file as
//   *.damaged, synced -> rename the new one over it -> verify again
//
// Invariants:
//  1. Offsets stay: a record that was readable before is readable after, under the same journal,
//     offset and lane.
//  2. A segment's name means the damaged file or the whole repaired one at each instant, and what is
//     written depends on nothing but the files: cut off anywhere and run again, the end is the same.
//     Run once more, it changes nothing.
//  3. Nothing else is touched: a segment without damage, the cursors, the journals.
#pragma once

#include <string>
#include <vector>

#include "spillway/core/verify.h"

namespace spillway::core {

struct RepairOptions {
  bool remove_damaged = false;  // instead of keeping it as *.damaged
};

struct RepairedSegment {
  std::string path;
  std::string kept_as;  // where the damaged file is now; empty if it was removed or left alone
  bool rewritten = false;
  std::uint64_t records = 0;           // readable in it now
  std::uint64_t records_salvaged = 0;  // of those, not readable before
  std::uint64_t blocks_healed = 0;     // one flipped bit each
  std::vector<Gap> lost;
};

struct RepairReport {
  VerifyReport before;
  VerifyReport after;
  std::vector<RepairedSegment> segments;
};

/// `directory` is <spill_dir>/<stream>. kNotFound, kNewerVersion, kBusy, kPermission, kFull, kIo.
[[nodiscard]] Result<RepairReport> repair_stream(env::Env& env, const std::string& directory,
                                                 const RepairOptions& options);

}  // namespace spillway::core
