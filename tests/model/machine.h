// Machine: takes one step of a modelled world at a time: one thread, one atomic operation or named
// step, one of the stores that a load may read.
//
//   resting point --run--> operation, operation, ... --run--> resting point
//
// A program is code of two threads, cut into segments that begin and end at resting points (the
// head of a loop: between two records, between two walks). Between resting points a thread is
// nothing but the values that it has read: to take its next step, the machine runs the segment from
// its beginning with the values of the log, lets the one next operation happen, and leaves by an
// exception at the operation after. So a whole world is a plain value, which the explorer copies,
// compares and keeps, and the code under test needs no coroutine.
//
// Invariants:
//  1. A segment has no effect but through tests/model/access.h, Machine's named steps, and the
//     thread's own `local` bytes, which only a segment that ends changes.
//  2. A segment does the same operations whenever it reads the same values.
//  3. Plain stores happen in the step of the operation behind them; a crash may fall between any
//     two of them. (They take part in no race, or are reported: where they stand cannot be told.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/model/access.h"
#include "tests/model/memory.h"

namespace spillway::model {

inline constexpr std::size_t kLocalBytes = 160;
inline constexpr std::size_t kReadsMax = 24;
inline constexpr unsigned kProducer = 0;
inline constexpr unsigned kAgent = 1;

enum class Life : std::uint8_t { kRunning, kFinished, kDead };

struct Delayed {  // by a mutant
  std::uint64_t value;
  std::uint32_t location;
  std::uint32_t pending;
};

struct Thread {
  alignas(16) std::array<std::byte, kLocalBytes> local;  // at the last resting point
  std::array<std::uint64_t, kReadsMax> reads;            // since then
  Delayed delayed;
  std::uint16_t reads_count;
  std::uint16_t operations_done;
  Life life;
  std::uint8_t crashes_left;
  std::array<std::uint8_t, 10> reserved;  // no hidden bytes: states are compared by their bytes
};

/// A whole world between two steps.
struct State {
  Memory memory;
  std::array<std::uint64_t, 4> durable;  // the program's own: what no crash takes away
  std::array<Thread, kThreads> threads;
};
static_assert(std::is_trivially_copyable_v<State>);
static_assert(std::has_unique_object_representations_v<State>);

/// A broken version of the code under test.
struct Mutation {
  enum class Kind : std::uint8_t {
    kWeaken,  // the operation's order becomes relaxed
    kDrop,    // the store does not happen
    kDelay,   // the relaxed store happens behind the thread's next release store
  };
  std::string file;
  int line = 0;
  Kind kind = Kind::kWeaken;
};

/// A place in the code under test with what it does there.
struct SiteUse {
  std::string file;  // without its folder
  std::string function;
  int line = 0;
  bool store = false;
  bool plain = false;
  std::memory_order order = std::memory_order_relaxed;
};

struct Move {
  enum class Kind : std::uint8_t { kStep, kCrash };
  std::uint8_t thread;
  Kind kind;
  std::uint16_t argument;  // which store a load reads; how many plain stores still happen
};

class Program {
 public:
  virtual ~Program() = default;
  virtual void start(State& state) = 0;
  /// One segment of a thread on its working copy of `local`. True: the thread has finished.
  virtual bool run_segment(unsigned thread, std::byte* local) = 0;
  /// The thread has crashed: what remains of it, and whether it comes again.
  virtual void crash(State& state, unsigned thread) = 0;
};

class Machine {
 public:
  explicit Machine(Program& program, const Mutation* mutation = nullptr)
      : program_(program), mutation_(mutation) {}

  [[nodiscard]] State start();
  /// Takes the move. False: there is no such move here; then the state is worth nothing.
  [[nodiscard]] bool take(State& state, Move move);
  /// How many stores the last step's load could have read; 1 for other operations.
  [[nodiscard]] unsigned choices() const { return choices_; }
  /// Each operation as it happens, for a counterexample.
  void tell(std::function<void(const std::string&)> listener) { listener_ = std::move(listener); }
  [[nodiscard]] const std::vector<SiteUse>& sites() const { return sites_; }

  // For the program's segments, inside of take.
  static Machine& running();
  /// A named step that other threads' steps may come between: true if it happens now, false if it
  /// happened in a step before.
  [[nodiscard]] bool begin_step(const char* name);
  /// The same where the step's result must be known again.
  [[nodiscard]] std::uint64_t step(const char* name, const std::function<std::uint64_t()>& what);
  [[nodiscard]] State& state() { return *state_; }

  // What access.h stands on.
  std::uint64_t load(const void* at, std::size_t bytes, std::memory_order order, Site site);
  void store(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order, Site site);
  std::uint64_t add(void* at, std::size_t bytes, std::uint64_t value, std::memory_order order,
                    Site site);
  void store_plain(void* at, const void* value, std::size_t bytes, Site site);

 private:
  enum class Turn : std::uint8_t { kReplayed, kNow };

  [[nodiscard]] Thread& thread() { return state_->threads[thread_]; }
  [[nodiscard]] Turn turn(bool plain);
  [[nodiscard]] std::uint64_t replay_read();
  void keep_read(std::uint64_t value);
  void run(State& state, Move move);
  void rest(const std::array<std::byte, kLocalBytes>& local, bool finished);
  void store_now(unsigned location, std::uint64_t value, std::memory_order order);
  [[nodiscard]] bool mutated(Site site, Mutation::Kind kind) const;
  void note(Site site, bool store, bool plain, std::memory_order order);
  void tell_operation(const char* what, unsigned location, std::uint64_t value,
                      std::memory_order order, Site site);

  Program& program_;
  const Mutation* mutation_;
  State* state_ = nullptr;
  unsigned thread_ = 0;
  Move move_{};
  unsigned operation_ = 0;   // the next one of the running segment
  unsigned read_ = 0;        // the next value of the log
  unsigned plain_done_ = 0;  // in this step
  bool happened_ = false;    // this step's operation
  unsigned choices_ = 1;
  std::function<void(const std::string&)> listener_;
  std::vector<SiteUse> sites_;
};

/// The memory that the code under test is given addresses of. Its bytes are never touched.
struct Arena {
  alignas(16) std::array<std::byte, kRingBytesMax> ring;
  alignas(8) std::array<std::byte, 8> consumed;
};
[[nodiscard]] Arena& arena();

}  // namespace spillway::model
