// LaneProgram: plays a scenario on a lane's two halves: the producer's code on RingWriter and
// RingBatch, the agent's drain on RingReader, its spill, and the kernel's lock on the lane file.
//
// A template, so that the real headers and the broken copies of them (mutants.py) are played alike.
// Resting points: the producer between two actions, the agent between two walks.
#pragma once

#include <atomic>
#include <new>
#include <type_traits>

#include "spillway/core/atomic.h"
#include "tests/model/machine.h"
#include "tests/model/oracle.h"
#include "tests/model/scenario.h"

namespace spillway::model {

/// An agent that breaks a rule, by hand.
enum class AgentFault : std::uint8_t {
  kNone,
  kConsumesFirst,   // moves `consumed` before the spill has the bytes
  kNoLastWalk,      // takes a free lock for an empty lane (rule 6)
  kForgetsItsSpill  // resumes from shared memory alone (rule 5)
};

static_assert(!std::is_same_v<core::Atomic<std::uint32_t>, std::atomic<std::uint32_t>>,
              "tests/model/include must stand first in the include path");

template <typename Writer, typename Batch, typename Reader>
class LaneProgram final : public Program {
 public:
  LaneProgram(const Scenario& scenario, Deaths deaths, AgentFault fault = AgentFault::kNone)
      : scenario_(scenario), deaths_(std::move(deaths)), fault_(fault), oracle_(scenario) {}

  void start(State& state) override {
    if (scenario_.old_bytes) oracle_.fill_with_old_bytes(state.memory);
    state.threads[kProducer].crashes_left = deaths_.producer;
    state.threads[kAgent].crashes_left = deaths_.agent;
    new (state.threads[kProducer].local.data())
        Producer{Writer(arena().ring.data(), scenario_.capacity, consumed()), 0, 0, 0};
  }

  bool run_segment(unsigned thread, std::byte* local) override {
    return thread == kProducer ? produce(*reinterpret_cast<Producer*>(local))
                               : drain(*reinterpret_cast<Agent*>(local));
  }

  void crash(State& state, unsigned thread) override {
    Thread& dead = state.threads[thread];
    --dead.crashes_left;
    dead.delayed = {};
    dead.reads = {};
    dead.reads_count = dead.operations_done = 0;
    if (thread == kProducer) {
      dead.life = Life::kDead;
      state.memory.retire(kProducer);
    } else {
      dead.local = {};  // the next agent knows what the dead one wrote, and the spill
    }
  }

 private:
  using Position = core::Atomic<std::uint64_t>;
  // How far these are is what a resting point is.
  struct Producer {
    Writer writer;
    std::uint64_t action;
    std::uint64_t in_batch;      // records of the running batch that are published
    std::uint64_t acknowledged;  // records whose commit has returned
  };
  struct Agent {
    Reader reader;
    std::uint64_t resumed;
    std::uint64_t gone;  // the lock was seen free
  };
  static_assert(sizeof(Producer) <= kLocalBytes && sizeof(Agent) <= kLocalBytes);

  static Position& consumed() { return *reinterpret_cast<Position*>(arena().consumed.data()); }

  // ---- the producer ----

  bool produce(Producer& producer) {
    if (producer.action == scenario_.actions.size()) {
      // Its lock is released with its descriptor.
      static_cast<void>(Machine::running().begin_step("closes the lane"));
      return true;
    }
    const Action& action = scenario_.actions[producer.action];
    if (play(producer, action)) ++producer.action;
    return false;
  }

  /// False: there was no room (for all of it).
  bool play(Producer& producer, const Action& action) {
    switch (action.kind) {
      case Action::Kind::kBatch:
        return put_batch(producer, action);
      case Action::Kind::kAbandonBatch:
        return abandon_batch(producer, action);
      default:
        return put_one(producer, action);
    }
  }

  bool put_one(Producer& producer, const Action& action) {
    const bool whole = action.kind == Action::Kind::kPut && action.claim == action.sizes[0];
    return whole ? put_whole(producer, action) : claim_and_commit(producer, action);
  }

  bool put_whole(Producer& producer, const Action& action) {
    const std::uint64_t record = producer.acknowledged;
    const auto fill = [this, record](std::byte* room) {
      oracle_.write(room, record);
      oracle_.offer(record + 1);
    };
    if (!producer.writer.put(action.sizes[0], Oracle::ticks_of(record), fill)) return false;
    ++producer.acknowledged;
    return true;
  }

  bool claim_and_commit(Producer& producer, const Action& action) {
    std::byte* const room = producer.writer.claim(action.claim);
    if (room == nullptr) return false;
    oracle_.scribble(room, action.claim);
    if (action.kind == Action::Kind::kAbandon) return true;
    const std::uint64_t record = producer.acknowledged;
    oracle_.write(room, record);
    oracle_.offer(record + 1);
    if (!producer.writer.commit(action.sizes[0], Oracle::ticks_of(record))) {
      throw Violation{"a commit was refused"};
    }
    ++producer.acknowledged;
    return true;
  }

  bool put_batch(Producer& producer, const Action& action) {
    Batch batch(producer.writer);
    std::uint64_t taken = 0;
    for (; producer.in_batch + taken < action.sizes.size(); ++taken) {
      std::byte* const room = batch.claim(action.sizes[producer.in_batch + taken]);
      if (room == nullptr) break;
      oracle_.write(room, producer.acknowledged + taken);
      batch.add(Oracle::ticks_of(producer.acknowledged + taken));
    }
    if (taken == 0) return false;
    oracle_.offer(producer.acknowledged + taken);
    batch.publish();
    producer.acknowledged += taken;
    producer.in_batch += taken;
    if (producer.in_batch < action.sizes.size()) return false;
    producer.in_batch = 0;
    return true;
  }

  bool abandon_batch(Producer& producer, const Action& action) {
    Batch batch(producer.writer);
    for (unsigned i = 0; i < 2; ++i) {
      std::byte* const room = batch.claim(action.claim);
      if (room == nullptr) return i != 0;
      oracle_.scribble(room, action.claim);
      batch.add(0);
    }
    return true;
  }

  // ---- the agent ----

  bool drain(Agent& agent) {
    if (agent.resumed == 0) {
      resume(agent);
      return false;
    }
    const auto walk = agent.reader.walk(scenario_.walk_bytes);
    using WalkEnd = decltype(walk.end);
    if (walk.end == WalkEnd::kDamaged) {
      throw Violation{std::string("an honest lane was called damaged: ") + walk.rule};
    }
    if (!walk.frames.empty()) {
      take(agent, walk.frames.data(), walk.frames.size(), walk.lane_end);
      return false;
    }
    if (agent.gone != 0) return remove();
    agent.gone =
        Machine::running().step("looks whether the lock is free", [] { return try_lock(); });
    return agent.gone != 0 && fault_ == AgentFault::kNoLastWalk ? remove() : false;
  }

  void resume(Agent& agent) {
    new (&agent.reader) Reader(arena().ring.data(), scenario_.capacity,
                               static_cast<std::uint32_t>(scenario_.capacity / 2 - 32), consumed());
    const bool forgets = fault_ == AgentFault::kForgetsItsSpill;
    const char* rule = agent.reader.resume(forgets ? 0 : oracle_.spilled_end());
    if (rule != nullptr) throw Violation{std::string("an honest lane was not resumed: ") + rule};
    agent.resumed = 1;
  }

  void take(Agent& agent, const std::byte* frames, std::size_t bytes, std::uint64_t lane_end) {
    if (fault_ == AgentFault::kConsumesFirst) agent.reader.consume(lane_end);
    if (Machine::running().begin_step("appends to the spill")) {
      oracle_.spill(frames, bytes, lane_end);
    }
    if (fault_ != AgentFault::kConsumesFirst) agent.reader.consume(lane_end);
  }

  static std::uint64_t try_lock() {
    State& state = Machine::running().state();
    if (state.threads[kProducer].life == Life::kRunning) return 0;
    state.memory.synchronise(kAgent, kProducer);
    return 1;
  }

  bool remove() {
    if (Machine::running().begin_step("removes the lane")) {
      const auto& bytes = Machine::running().state().threads[kProducer].local;
      oracle_.check_end(reinterpret_cast<const Producer*>(bytes.data())->acknowledged);
    }
    return true;
  }

  const Scenario& scenario_;
  Deaths deaths_;
  AgentFault fault_;
  Oracle oracle_;
};

}  // namespace spillway::model
