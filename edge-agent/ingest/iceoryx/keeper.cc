#include "edge-agent/ingest/iceoryx/keeper.h"

#include <algorithm>

namespace spillway::agent::iceoryx {

Keeper::Action Keeper::step(std::uint64_t now_ns, const std::optional<RoudiLife>& roudi,
                            std::uint64_t signs) {
  const bool settled = roudi && seen_ == roudi;
  seen_ = roudi;
  switch (state_) {
    case State::kResting:
      if (now_ns - since_ns_ < rest_ns_) return Action::kNothing;
      state_ = State::kWaiting;
      [[fallthrough]];
    case State::kWaiting:
      if (stopping_ || !settled) return Action::kNothing;
      return start_child(now_ns, *roudi, signs);
    case State::kReading:
      return step_reading(now_ns, roudi, signs);
    case State::kLeaving:
      if (killed_ || now_ns - since_ns_ < kLeaveMaxNs) return Action::kNothing;
      killed_ = true;
      return Action::kKillChild;
  }
  return Action::kNothing;
}

Keeper::Action Keeper::start_child(std::uint64_t now_ns, const RoudiLife& roudi,
                                   std::uint64_t signs) {
  life_is_new_ = lives_ == 0 || !(read_ == roudi);
  if (life_is_new_) ++lives_;
  ++starts_;
  read_ = roudi;
  state_ = State::kReading;
  killed_ = false;
  started_ns_ = sign_ns_ = now_ns;
  signs_ = signs;
  return Action::kStartChild;
}

Keeper::Action Keeper::step_reading(std::uint64_t now_ns, const std::optional<RoudiLife>& roudi,
                                    std::uint64_t signs) {
  if (signs != signs_) {
    signs_ = signs;
    sign_ns_ = now_ns;
  }
  const bool another = roudi && !(*roudi == read_);
  const bool silent = now_ns - sign_ns_ >= kSilenceMaxNs;
  if (!another && !stopping_ && !silent) return Action::kNothing;
  state_ = State::kLeaving;
  since_ns_ = now_ns;
  killed_ = silent;
  return silent ? Action::kKillChild : Action::kTellToLeave;
}

void Keeper::on_child_ended(std::uint64_t now_ns, ChildEnd end) {
  const bool wanted = state_ == State::kLeaving && !killed_;
  since_ns_ = now_ns;
  if (wanted || end != ChildEnd::kFailed) {
    rest_ns_ = kRestMinNs;
    // A RouDi that says goodbye is still there for a moment; who was forgotten is not to wait.
    state_ = end == ChildEnd::kLeft && !wanted ? State::kResting : State::kWaiting;
    return;
  }
  const bool stable = now_ns - started_ns_ >= kStableAfterNs;
  rest_ns_ = stable ? kRestMinNs : std::min(std::max(rest_ns_, kRestMinNs) * 2, kRestMaxNs);
  state_ = State::kResting;
}

}  // namespace spillway::agent::iceoryx
