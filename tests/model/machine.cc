#include "tests/model/machine.h"

#include <algorithm>
#include <cstring>

namespace spillway::model {

namespace {

/// Segments without an operation that a thread may have in a row.
constexpr unsigned kIdleSegmentsMax = 16;

// How a segment is left before its end.
struct StepDone {};
struct NoSuchMove {};
struct Crashed {};

Machine* running_machine = nullptr;

struct RunningScope {
  explicit RunningScope(Machine& machine) { running_machine = &machine; }
  ~RunningScope() { running_machine = nullptr; }
  RunningScope(const RunningScope&) = delete;
  RunningScope& operator=(const RunningScope&) = delete;
};

const char* name_of(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed:
      return "relaxed";
    case std::memory_order_acquire:
      return "acquire";
    case std::memory_order_release:
      return "release";
    case std::memory_order_acq_rel:
      return "acq_rel";
    default:
      throw Violation{"an order that the semantics here do not cover"};
  }
}

const char* file_of(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

std::ptrdiff_t ring_offset(const void* at) {
  return static_cast<const std::byte*>(at) - arena().ring.data();
}

unsigned location_of(const void* at, std::size_t bytes) {
  if (at == arena().consumed.data() && bytes == 8) return kConsumed;
  const std::ptrdiff_t offset = ring_offset(at);
  if (offset < 0 || offset >= static_cast<std::ptrdiff_t>(kRingBytesMax) || bytes != kWordBytes ||
      offset % static_cast<std::ptrdiff_t>(kUnitBytes) != 0) {
    throw Violation{"an atomic access where no frame header can stand"};
  }
  return static_cast<unsigned>(offset) / kUnitBytes;
}

std::string name_of(unsigned location) {
  return location == kConsumed ? "consumed" : "ring+" + std::to_string(location * kUnitBytes);
}

bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel;
}
bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel;
}

}  // namespace

Arena& arena() {
  static Arena the_arena;
  return the_arena;
}

Machine& Machine::running() {
  if (running_machine == nullptr) throw Violation{"an access outside of a step"};
  return *running_machine;
}

State Machine::start() {
  State state;
  std::memset(static_cast<void*>(&state), 0, sizeof state);
  state.memory = Memory();
  program_.start(state);
  return state;
}

bool Machine::take(State& state, Move move) {
  const RunningScope scope(*this);
  state_ = &state;
  thread_ = move.thread;
  move_ = move;
  operation_ = read_ = plain_done_ = 0;
  happened_ = false;
  choices_ = 1;
  try {
    run(state, move);
  } catch (const StepDone&) {
  } catch (const NoSuchMove&) {
    return false;
  }
  state.memory.canonicalise();
  return true;
}

void Machine::run(State& state, Move move) {
  if (move.kind == Move::Kind::kCrash && move.argument == 0) {
    program_.crash(state, thread_);
    return;
  }
  std::array<std::byte, kLocalBytes> local alignas(16) = thread().local;
  try {
    bool finished = false;
    // A segment without an operation in it joins the next one's first step.
    unsigned segments = 0;
    do {
      if (++segments > kIdleSegmentsMax)
        throw Violation{"a thread goes round without an operation"};
      finished = program_.run_segment(thread_, local.data());
      if (finished && move.kind == Move::Kind::kCrash) throw NoSuchMove{};
      rest(local, finished);
    } while (!happened_ && !finished);
  } catch (const Crashed&) {
    program_.crash(state, thread_);
  }
}

void Machine::rest(const std::array<std::byte, kLocalBytes>& local, bool finished) {
  Thread& at_rest = thread();
  at_rest.local = local;
  at_rest.reads = {};
  at_rest.reads_count = 0;
  at_rest.operations_done = 0;
  operation_ = read_ = 0;
  if (!finished) return;
  at_rest.life = Life::kFinished;
  state_->memory.retire(thread_);
}

Machine::Turn Machine::turn(bool plain) {
  if (operation_ < thread().operations_done) {
    ++operation_;
    return Turn::kReplayed;
  }
  if (happened_) throw StepDone{};
  if (move_.kind == Move::Kind::kCrash) {
    if (!plain) throw NoSuchMove{};
    if (plain_done_ == move_.argument) throw Crashed{};
  }
  if (plain) {
    ++plain_done_;
  } else {
    happened_ = true;
  }
  ++operation_;
  ++thread().operations_done;
  return Turn::kNow;
}

std::uint64_t Machine::replay_read() { return thread().reads[read_++]; }

void Machine::keep_read(std::uint64_t value) {
  Thread& reader = thread();
  if (reader.reads_count == kReadsMax) throw Violation{"more than kReadsMax reads in a segment"};
  reader.reads[reader.reads_count++] = value;
  ++read_;
}

bool Machine::begin_step(const char* name) {
  if (turn(false) == Turn::kReplayed) return false;
  if (listener_) listener_(std::string(thread_ == kProducer ? "producer: " : "agent: ") + name);
  return true;
}

std::uint64_t Machine::step(const char* name, const std::function<std::uint64_t()>& what) {
  if (!begin_step(name)) return replay_read();
  const std::uint64_t value = what();
  keep_read(value);
  return value;
}

bool Machine::mutated(Site site, Mutation::Kind kind) const {
  return mutation_ != nullptr && mutation_->kind == kind && mutation_->line == site.line &&
         mutation_->file == file_of(site.file);
}

void Machine::note(Site site, bool store, bool plain, std::memory_order order) {
  for (const SiteUse& known : sites_) {
    if (known.line == site.line && known.store == store && known.file == file_of(site.file)) return;
  }
  sites_.push_back({file_of(site.file), site.function, site.line, store, plain, order});
}

void Machine::tell_operation(const char* what, unsigned location, std::uint64_t value,
                             std::memory_order order, Site site) {
  if (!listener_) return;
  listener_(std::string(thread_ == kProducer ? "producer: " : "agent: ") + what + " " +
            name_of(location) + " = " + std::to_string(value) + ", " + name_of(order) + " (" +
            file_of(site.file) + ":" + std::to_string(site.line) + " " + site.function + ")");
}

std::uint64_t Machine::load(const void* at, std::size_t bytes, std::memory_order order, Site site) {
  if (turn(false) == Turn::kReplayed) return replay_read();
  note(site, false, false, order);
  if (mutated(site, Mutation::Kind::kWeaken)) order = std::memory_order_relaxed;
  const unsigned location = location_of(at, bytes);
  static_cast<void>(name_of(order));
  choices_ = state_->memory.readable(thread_, location);
  if (move_.argument >= choices_) throw NoSuchMove{};
  const std::uint64_t value =
      state_->memory.load(thread_, location, move_.argument, acquires(order));
  tell_operation("loads", location, value, order, site);
  keep_read(value);
  return value;
}

void Machine::store(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order,
                    Site site) {
  if (turn(false) == Turn::kReplayed) return;
  note(site, true, false, order);
  const unsigned location = location_of(at, bytes);
  if (mutated(site, Mutation::Kind::kDrop)) return;
  if (mutated(site, Mutation::Kind::kDelay)) {
    thread().delayed = {value, location, 1};
    return;
  }
  if (mutated(site, Mutation::Kind::kWeaken)) order = std::memory_order_relaxed;
  tell_operation("stores", location, value, order, site);
  store_now(location, value, order);
}

void Machine::store_now(unsigned location, std::uint64_t value, std::memory_order order) {
  state_->memory.store(thread_, location, value, releases(order));
  Delayed& delayed = thread().delayed;
  if (!releases(order) || delayed.pending == 0) return;
  state_->memory.store(thread_, delayed.location, delayed.value, false);
  delayed = {};
}

std::uint64_t Machine::add(void* at, std::size_t bytes, std::uint64_t value,
                           std::memory_order order, Site site) {
  if (turn(false) == Turn::kReplayed) return replay_read();
  note(site, true, false, order);
  if (mutated(site, Mutation::Kind::kWeaken)) order = std::memory_order_relaxed;
  const unsigned location = location_of(at, bytes);
  const std::uint64_t before =
      state_->memory.add(thread_, location, value, acquires(order), releases(order));
  tell_operation("adds to", location, before, order, site);
  keep_read(before);
  return before;
}

void Machine::store_plain(void* at, const void* value, std::size_t bytes, Site site) {
  if (turn(true) == Turn::kReplayed) return;
  note(site, true, true, std::memory_order_relaxed);
  const std::ptrdiff_t offset = ring_offset(at);
  if (offset < 0 || offset + bytes > kRingBytesMax) throw Violation{"a plain store outside"};
  if (mutated(site, Mutation::Kind::kDrop)) return;
  const auto* from = static_cast<const std::byte*>(value);
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t here = static_cast<std::size_t>(offset) + done;
    const std::size_t first = here % kWordBytes;
    const std::size_t length = std::min(bytes - done, kWordBytes - first);
    state_->memory.store_plain(thread_, static_cast<unsigned>(here / kWordBytes),
                               static_cast<unsigned>(first), from + done,
                               static_cast<unsigned>(length));
    done += length;
  }
  if (listener_)
    tell_operation("plain stores", static_cast<unsigned>(offset) / kUnitBytes, 0,
                   std::memory_order_relaxed, site);
}

std::uint64_t atomic_load(const void* at, std::size_t bytes, std::memory_order order, Site site) {
  return Machine::running().load(at, bytes, order, site);
}
void atomic_store(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order,
                  Site site) {
  Machine::running().store(at, bytes, value, order, site);
}
std::uint64_t atomic_add(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order,
                         Site site) {
  return Machine::running().add(at, bytes, value, order, site);
}
void plain_store(void* at, const void* value, std::size_t bytes, Site site) {
  Machine::running().store_plain(at, value, bytes, site);
}

}  // namespace spillway::model
