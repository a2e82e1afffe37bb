// What any inbox must do with records out of order, whatever database it keeps them in: a storm by seed,
// and an oracle outside that shares no code with it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "uplink/consumer/inbox/inbox.h"

namespace spillway::uplink::test {

/// A database that several consumers may have open at once.
class LooseDatabase {
 public:
  struct Stored {
    std::map<std::uint64_t, std::string> rows;  // payloads by offset
    std::uint64_t next_offset = 0;
    std::uint64_t lane_records = 0;  // as the lane's totals count them
  };

  virtual ~LooseDatabase() = default;
  virtual std::unique_ptr<consumer::Inbox> open() = 0;
  /// By the database's own means, without the inbox.
  virtual Stored read(const consumer::InboxKey& key) = 0;
};

/// A journal of `records`, some of them dropped, comes in any order, doubled, in batches of any size,
/// through two consumers in turn and the native link between, with kills: and each record is stored once.
void run_loose_storm(LooseDatabase& database, std::uint64_t seed, std::uint64_t records);

}  // namespace spillway::uplink::test
