// verify_stream: checks every block of a stream's spill and says exactly what is damaged and what
// was dropped.
//
// Needs read access only and changes nothing. While an agent appends, the report is of the moment.
//
// Damage is: a segment whose header is not valid, even if only by one bit that reading heals; a
// compressed block that cannot be decoded; offsets that no segment holds and no gap names;
// and, in the newest segment, bytes where the next block would stand that are neither blank nor a
// valid block, unless an agent of this boot says that nothing was published there (an append that a
// kill cut short). A torn tail behind which a later segment goes on without a hole is none: that is
// how a power cut leaves a segment.
#pragma once

#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/gap_table.h"
#include "spillway/core/stream_reader.h"

namespace spillway::core {

struct SegmentReport {
  std::string path;
  std::uint64_t sequence = 0;
  std::uint64_t base_offset = 0;
  std::uint64_t next_offset = 0;  // behind its last record
  std::uint64_t file_bytes = 0;
  std::uint64_t used_bytes = 0;  // up to the end of its last valid block
  std::uint64_t blocks = 0;
  std::uint64_t records = 0;
  bool sealed = false;
  bool readable = false;
  std::string problem;  // why it is not readable, or what was healed to read it
};

struct Damage {
  std::string path;            // the segment in which the walk ended
  std::uint64_t position = 0;  // the byte at which a valid block was missing
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset =
      0;               // the offsets [first, next) are lost; equal if it is not known how many
  std::string reason;  // the rule that is broken
  std::uint64_t blocks_behind = 0;  // valid blocks of the same segment that stand behind the damage
  std::uint64_t records_behind = 0;  // and the records in them
  bool nothing_lost = false;         // all of it could be read: a bit that was healed
};

struct VerifyReport {
  std::vector<SegmentReport> segments;
  std::vector<Damage> damages;
  std::vector<Gap> gaps;  // as the gap table has them
  std::vector<JournalRange> journals;
  std::uint64_t blocks = 0;
  std::uint64_t records = 0;
  [[nodiscard]] bool ok() const { return damages.empty(); }
};

/// `directory` is <spill_dir>/<stream>. kNotFound, kNewerVersion, kPermission, kIo.
[[nodiscard]] Result<VerifyReport> verify_stream(env::Env& env, const std::string& directory);

}  // namespace spillway::core
