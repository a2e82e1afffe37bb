#include "uplink/policy/link_chooser.h"

#include <algorithm>

namespace spillway::uplink {

LinkChooser::LinkChooser(std::size_t links, std::uint64_t reconnect_ns_min,
                         std::uint64_t reconnect_ns_max) {
  links_.reserve(links);
  for (std::size_t i = 0; i < links; ++i) {
    links_.emplace_back(Backoff(reconnect_ns_min, reconnect_ns_max));
  }
}

std::uint64_t LinkChooser::due_at_ns(const Link& link) const {
  return in_use_ ? std::max(link.rests_until_ns, link.held_until_ns) : link.rests_until_ns;
}

std::optional<std::size_t> LinkChooser::decide(std::uint64_t now_ns) {
  if (trying_) return {};
  for (std::size_t i = 0; i < candidates(); ++i) {
    const Link& link = links_[i];
    if (!link.allowed || due_at_ns(link) > now_ns) continue;
    trying_ = i;
    tried_since_ns_ = now_ns;
    return i;
  }
  return {};
}

std::optional<std::uint64_t> LinkChooser::wakes_at_ns() const {
  std::optional<std::uint64_t> earliest;
  if (trying_) return earliest;
  for (std::size_t i = 0; i < candidates(); ++i) {
    if (!links_[i].allowed) continue;
    const std::uint64_t due_ns = due_at_ns(links_[i]);
    earliest = std::min(due_ns, earliest.value_or(due_ns));
  }
  return earliest;
}

void LinkChooser::opened(std::size_t link, std::uint64_t now_ns) {
  // The other one is left, not lost: it may be taken up again at once.
  if (in_use_ && *in_use_ != link) links_[*in_use_].rests_until_ns = now_ns;
  trying_.reset();
  restarts_ = 0;
  in_use_ = link;
  links_[link].since_ns = now_ns;
  links_[link].is_told = false;
}

void LinkChooser::failed(std::size_t link, std::uint64_t now_ns, std::uint64_t random) {
  trying_.reset();
  Link& tried = links_[link];
  tried.is_told = false;
  if (restarting_) {
    tried.rests_until_ns = restart_at_ns_;
  } else {
    tried.rests_until_ns = now_ns + tried.backoff.next_ns(random);
    restarts_ = 0;
  }
  restarting_ = false;
}

void LinkChooser::leave(Link& link, std::uint64_t now_ns) {
  const bool steady = now_ns - std::min(now_ns, link.since_ns) >= kSteadyNs;
  link.hold_ns = steady ? kHoldNsMin : link.hold_ns;
  link.held_until_ns = now_ns + link.hold_ns;
  link.hold_ns = std::min(link.hold_ns * 2, kHoldNsMax);
}

void LinkChooser::ended(std::size_t link, Pause pause, std::uint64_t now_ns, std::uint64_t random) {
  in_use_.reset();
  Link& lost = links_[link];
  leave(lost, now_ns);
  if (pause == Pause::kLong) {
    for (Link& each : links_) {
      each.is_told = true;
      each.rests_until_ns = std::max(each.rests_until_ns, now_ns + each.backoff.long_ns(random));
    }
    return;
  }
  const std::uint64_t wait_ns =
      pause == Pause::kNone ? Backoff::kWaitNsMin : lost.backoff.next_ns(random);
  lost.rests_until_ns = now_ns + wait_ns;
}

void LinkChooser::stay_away(std::uint64_t until_ns) {
  for (Link& each : links_) {
    each.is_told = true;
    each.rests_until_ns = std::max(each.rests_until_ns, until_ns);
  }
}

/// A bucket of kEventTries tries that fills up by one each kEventPauseNs.
std::uint64_t LinkChooser::event_try_at_ns(std::uint64_t now_ns) {
  constexpr std::uint64_t kBurstNs = (kEventTries - 1) * kEventPauseNs;
  return events_free_at_ns_ > now_ns + kBurstNs ? events_free_at_ns_ - kBurstNs : now_ns;
}

bool LinkChooser::on_event(std::uint64_t now_ns) {
  const std::uint64_t at_ns = event_try_at_ns(now_ns);
  bool used = false;
  for (std::size_t i = 0; i < candidates(); ++i) {
    Link& link = links_[i];
    if (link.is_told || link.rests_until_ns <= at_ns) continue;
    link.rests_until_ns = at_ns;
    link.backoff.reset();
    used = true;
  }
  const bool stuck = trying_ && now_ns - tried_since_ns_ >= kStuckNs && restarts_ < kRestartsMax &&
                     at_ns == now_ns;
  if (stuck) {
    ++restarts_;
    restarting_ = true;
    restart_at_ns_ = at_ns;
  }
  if (used || stuck) {
    events_free_at_ns_ = std::max(events_free_at_ns_, now_ns) + kEventPauseNs;
  }
  return stuck;
}

}  // namespace spillway::uplink
