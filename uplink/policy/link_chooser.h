// LinkChooser: which of an uplink's links to connect by, and when.
//
//   each link:                 decide()               opened()
//                   kAtRest -------------> kTrying -------------> kInUse
//                     ^  at once, or when     | failed()             | ended(), or a better one
//                     |  its pause is over    |                      | opened
//                     +-----------------------+----------------------+
//
// The links are given in order of preference. While none is in use, the best one that may is tried,
// then the next; while one is in use, only better ones are, beside it: the session goes on until the
// better link stands (make before break).
//
// Pure: time and chance come from the caller. One thread. After each call that tells of something,
// ask decide().
//
// Invariants:
//  1. At most one link is tried at a time, at most one is in use, and no last try.
//  2. A link that is in use is left for a better one only, and only if that one has been gone for its
//     hold: kHoldNsMin, doubled up to kHoldNsMax for each time that it died within kSteadyNs.
//  3. Without a link in use there is no hold: a flapping link is better than none.
//  4. However many events come, they make at most kEventTries tries at once, and one more each
//     kEventPauseNs; and the tries that they cut short are at most kRestartsMax in a row.
//  5. What only a person can mend (Pause::kLong) is not asked for by another link, nor sooner because
//     of an event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "uplink/link/backoff.h"
#include "uplink/session/uplink_session.h"

namespace spillway::uplink {

class LinkChooser {
 public:
  static constexpr std::uint64_t kHoldNsMin = 10'000'000'000;
  static constexpr std::uint64_t kHoldNsMax = 600'000'000'000;
  static constexpr std::uint64_t kSteadyNs = 60'000'000'000;
  static constexpr std::uint64_t kEventTries = 4;
  static constexpr std::uint64_t kEventPauseNs = 1'000'000'000;
  /// A try that is younger will hardly be stuck.
  static constexpr std::uint64_t kStuckNs = 300'000'000;
  static constexpr unsigned kRestartsMax = 3;

  LinkChooser(std::size_t links, std::uint64_t reconnect_ns_min, std::uint64_t reconnect_ns_max);

  /// A link to connect by now; the caller does so, and tells what becomes of it.
  [[nodiscard]] std::optional<std::size_t> decide(std::uint64_t now_ns);
  /// When to ask again at the latest; nothing while something else has to happen first.
  [[nodiscard]] std::optional<std::uint64_t> wakes_at_ns() const;

  void opened(std::size_t link, std::uint64_t now_ns);
  /// It was tried in vain.
  void failed(std::size_t link, std::uint64_t now_ns, std::uint64_t random);
  /// The session on it is over.
  void ended(std::size_t link, Pause pause, std::uint64_t now_ns, std::uint64_t random);
  /// The far end asks not to be called before, by any link, whatever comes up meanwhile.
  void stay_away(std::uint64_t until_ns);
  /// The session on it gets on: the next pause may be short again.
  void progressed(std::size_t link) { links_[link].backoff.reset(); }
  /// Whether the link's budget and windows allow it to be used.
  void allow(std::size_t link, bool allowed) { links_[link].allowed = allowed; }
  /// A link or a route came up. True: give up the try that is under way, and tell failed().
  [[nodiscard]] bool on_event(std::uint64_t now_ns);

  [[nodiscard]] std::optional<std::size_t> in_use() const { return in_use_; }
  [[nodiscard]] std::optional<std::size_t> trying() const { return trying_; }
  /// Since it is waited for: 0 where nothing is waited for.
  [[nodiscard]] std::uint64_t rests_until_ns(std::size_t link) const {
    return links_[link].rests_until_ns;
  }

 private:
  struct Link {
    explicit Link(Backoff of) : backoff(of) {}
    Backoff backoff;
    bool allowed = true;
    bool is_told = false;  // to rest, by the far end or for a person: no event shortens it
    std::uint64_t rests_until_ns = 0;
    std::uint64_t held_until_ns = 0;
    std::uint64_t hold_ns = kHoldNsMin;
    std::uint64_t since_ns = 0;  // in use
  };

  [[nodiscard]] std::size_t candidates() const { return in_use_ ? *in_use_ : links_.size(); }
  [[nodiscard]] std::uint64_t due_at_ns(const Link& link) const;
  void leave(Link& link, std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t event_try_at_ns(std::uint64_t now_ns);

  std::vector<Link> links_;
  std::optional<std::size_t> in_use_;
  std::optional<std::size_t> trying_;
  std::uint64_t tried_since_ns_ = 0;
  std::uint64_t events_free_at_ns_ = 0;
  unsigned restarts_ = 0;
  bool restarting_ = false;
  std::uint64_t restart_at_ns_ = 0;
};

}  // namespace spillway::uplink
