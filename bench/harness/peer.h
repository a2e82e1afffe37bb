// What a peer is to the harness: one small file that says how a record is sent, how it is received,
// and what its guarantee is beside ours.
//
//   struct Peer {
//     static constexpr Facts kFacts{...};
//     class Sender {                       // in the producer's process
//       explicit Sender(const Setup&);     // dies with one line if it cannot
//       bool send(std::span<const std::byte>);   // false: full, nothing was sent
//     };
//     class Receiver {                     // in the consumer's process
//       explicit Receiver(const Setup&);   // before the Sender is made
//       void meet();                       // after
//       template <typename Visit> void receive(Visit&&);   // visit(span) for each record that is there
//     };
//   };
//
// The measured loops are templates over the peer, so that no virtual call is measured with it. A
// peer's file registers it with add_peer at namespace scope; one that CMake leaves out is not there.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "bench/harness/json_line.h"

namespace spillway::bench {

struct Facts {
  const char* name;
  const char* settings;  // which of its settings, and why these
  const char*
      guarantee;  // 'same', or 'weaker: …', 'stronger: …'; beside an accepted record of ours
  std::size_t records_per_send = 1;
  bool has_receiver = true;          // false: nobody takes anything (a floor)
  std::size_t unread_sends_max = 0;  // it takes so many of 64 B with nobody reading; 0: not asked
};

struct Setup {
  std::string scratch;  // a folder of this run, in memory
  std::string queue;    // the real agent's queue directory; empty: the bench's own drain
  std::size_t record_bytes = 64;

  /// For names that all processes of a machine share: the scratch folder's last part.
  [[nodiscard]] std::string name(const char* before) const {
    std::string whole = before;
    whole += scratch.substr(scratch.rfind('/') + 1);
    return whole;
  }
};

struct Options {
  std::string subject;
  std::string mode = "all";
  Setup setup;
  std::uint64_t duration_ms = 150;  // of each part
  std::uint64_t gap_ns = 4000;      // between two operations that are timed one by one
  std::uint64_t count = 1000;       // of paced and instruction runs
  std::uint64_t hz = 1000;
  std::uint64_t producers = 1;  // of instruction runs
};

using PeerRun = void (*)(const Options&, JsonLine&);

struct Registered {
  Facts facts;
  PeerRun run;
};

inline std::vector<Registered>& peers() {
  static std::vector<Registered> all;
  return all;
}

inline bool add_peer(const Facts& facts, PeerRun run) {
  peers().push_back({facts, run});
  return true;
}

}  // namespace spillway::bench
