#include "tests/model/explorer.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <unordered_map>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace spillway::model {

namespace {

struct Hash {
  std::uint64_t low, high;
  bool operator==(const Hash&) const = default;
};
struct HashOfHash {
  std::size_t operator()(const Hash& hash) const { return static_cast<std::size_t>(hash.low); }
};

Hash hash_of(const State& state) {
  const XXH128_hash_t hash = XXH3_128bits(&state, sizeof state);
  return {hash.low64, hash.high64};
}

bool finished(const State& state) {
  return std::all_of(state.threads.begin(), state.threads.end(),
                     [](const Thread& thread) { return thread.life != Life::kRunning; });
}

struct Node {
  std::uint32_t parent;
  Move move;  // that led here from the parent
};
struct Edge {
  std::uint32_t from, to;
};

class Exploration {
 public:
  Exploration(Program& program, const Mutation* mutation)
      : program_(program), mutation_(mutation), machine_(program, mutation) {}

  Outcome run() {
    try {
      const State first = machine_.start();
      meet(first, {0, {}}, false);
      while (outcome_.violation.empty() && !frontier_.empty()) expand();
      if (outcome_.violation.empty()) look_for_stuck_states();
    } catch (const Violation& violation) {
      outcome_.violation = violation.what;
    }
    outcome_.states = nodes_.size();
    outcome_.sites = machine_.sites();
    return std::move(outcome_);
  }

 private:
  struct Waiting {
    std::uint32_t node;
    State state;
  };

  void expand() {
    const Waiting here = std::move(frontier_.front());
    frontier_.pop_front();
    for (std::uint8_t thread = 0; thread < kThreads; ++thread) {
      const Thread& of = here.state.threads[thread];
      if (of.life != Life::kRunning) continue;
      for (std::uint16_t read = 0; go(here, {thread, Move::Kind::kStep, read}); ++read) {
        if (read + 1U >= machine_.choices()) break;
      }
      if (of.crashes_left == 0) continue;
      for (std::uint16_t plain = 0; go(here, {thread, Move::Kind::kCrash, plain}); ++plain) {
      }
    }
  }

  /// False: there is no such move, or no reason to go on.
  bool go(const Waiting& here, Move move) {
    if (!outcome_.violation.empty()) return false;
    State next = here.state;
    try {
      if (!machine_.take(next, move)) return false;
    } catch (const Violation& violation) {
      fail(violation.what, here.node, &move);
      return false;
    }
    ++outcome_.steps;
    meet(next, {here.node, move}, true);
    return true;
  }

  void meet(const State& state, Node node, bool has_parent) {
    const auto fresh = static_cast<std::uint32_t>(nodes_.size());
    const auto [known, is_new] = known_.try_emplace(hash_of(state), fresh);
    // A crash is no way out for those who are stuck.
    if (has_parent && node.move.kind == Move::Kind::kStep) {
      edges_.push_back({node.parent, known->second});
    }
    if (!is_new) return;
    if (fresh == kStatesMax) throw Violation{"more than kStatesMax states"};
    nodes_.push_back(node);
    if (finished(state)) {
      ends_.push_back(fresh);
      ++outcome_.ends;
    } else {
      frontier_.push_back({fresh, state});
    }
  }

  /// From which states is there no way to an end?
  void look_for_stuck_states() {
    std::sort(edges_.begin(), edges_.end(),
              [](const Edge& left, const Edge& right) { return left.to < right.to; });
    std::vector<bool> ends(nodes_.size());
    std::vector<std::uint32_t> todo = ends_;
    for (const std::uint32_t node : todo) ends[node] = true;
    while (!todo.empty()) {
      const std::uint32_t node = todo.back();
      todo.pop_back();
      auto edge = std::lower_bound(edges_.begin(), edges_.end(), node,
                                   [](const Edge& left, std::uint32_t to) { return left.to < to; });
      for (; edge != edges_.end() && edge->to == node; ++edge) {
        if (ends[edge->from]) continue;
        ends[edge->from] = true;
        todo.push_back(edge->from);
      }
    }
    const auto stuck = std::find(ends.begin(), ends.end(), false);
    if (stuck == ends.end()) return;
    fail("stuck: from here nobody ever comes to an end",
         static_cast<std::uint32_t>(stuck - ends.begin()), nullptr);
  }

  /// Tells the way to the node, and the last move, from the start.
  void fail(const std::string& what, std::uint32_t node, const Move* last) {
    outcome_.violation = what;
    std::vector<Move> moves;
    if (last != nullptr) moves.push_back(*last);
    for (; node != 0; node = nodes_[node].parent) moves.push_back(nodes_[node].move);
    std::reverse(moves.begin(), moves.end());
    Machine teller(program_, mutation_);
    teller.tell([this](const std::string& line) { outcome_.trace.push_back(line); });
    State state = teller.start();
    try {
      for (const Move& move : moves) {
        if (move.kind == Move::Kind::kCrash) {
          outcome_.trace.push_back(move.thread == kProducer ? "producer: CRASH" : "agent: CRASH");
        }
        static_cast<void>(teller.take(state, move));
      }
    } catch (const Violation&) {
      // The one that is being told of.
    }
  }

  Program& program_;
  const Mutation* mutation_;
  Machine machine_;
  Outcome outcome_;
  std::unordered_map<Hash, std::uint32_t, HashOfHash> known_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> ends_;
  std::deque<Waiting> frontier_;
};

}  // namespace

Outcome explore(Program& program, const Mutation* mutation) {
  return Exploration(program, mutation).run();
}

}  // namespace spillway::model
