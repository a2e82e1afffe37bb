// Memory: what C++ lets threads see of shared memory, as a value that can be copied and hashed.
//
// Semantics: the release/acquire/relaxed fragment of RC11 in its operational, view-based form
// (Kang, Hur, Lahav, Vafeiadis, Dreyer, 'A promising semantics for relaxed-memory concurrency',
// POPL 2017, without promises; Doherty, Dongol, Wehrheim, Derrick, 'Verifying C11 programs
// operationally', PPoPP 2019). Data races as in FastTrack (Flanagan, Freund, PLDI 2009).
//  1. Each location holds its stores in modification order. A thread's view says, for each
//     location, the oldest store that it may still read: a load may read that one or any later one,
//     so stale reads are explored.
//  2. A release store carries its thread's view; an acquire load that reads it joins that view. A
//     read-modify-write reads the last store and hands that store's view on (release sequences).
//  3. A plain access must be ordered by happens-before with every conflicting access of the other
//     thread, plain or atomic: otherwise it is a race, and an error. The same bytes are a commit
//     word at one time and payload at another, so each word knows its accesses of both kinds.
//  4. A plain store leaves its value as the only store of the word: who could still read an older
//     one would race with it.
//
// Left out, and why that loses nothing here:
//  - load buffering (a load that reads from a store behind a later load of its own thread): RC11
//    forbids it as no machine of ours shows it between a load and stores that depend on it;
//  - stores inserted before others in modification order: each location has one writer, which the
//    memory checks;
//  - seq_cst accesses and fences, and acquire/release fences: the ring has none, and the machine
//    refuses such an order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace spillway::model {

/// The end of an exploration: what is wrong.
struct Violation {
  std::string what;
};

inline constexpr unsigned kThreads = 2;
inline constexpr std::size_t kWordBytes = 4;
inline constexpr std::size_t kRingBytesMax = 256;
/// Frames begin at multiples of it: only there may an atomic stand in the ring.
inline constexpr std::size_t kUnitBytes = 16;
inline constexpr unsigned kRingWords = kRingBytesMax / kWordBytes;
inline constexpr unsigned kRingUnits = kRingBytesMax / kUnitBytes;
/// Locations of atomics: the ring's units, then the words outside of it.
inline constexpr unsigned kConsumed = kRingUnits;
inline constexpr unsigned kLocations = kRingUnits + 4;
/// Stores that somebody may still read, in all locations. More is an error, not a loss.
inline constexpr unsigned kMessagesMax = 64;

/// What a thread, or who reads a message, knows.
struct View {
  std::array<std::uint8_t, kLocations> seen{};  // the oldest store that may still be read
  std::array<std::uint8_t, kThreads> clock{};   // epochs of each thread that happened before

  void join(const View& other);
};

/// A store that may still be read.
struct Message {
  std::uint64_t value;
  View view;              // meaningful if released
  std::uint8_t location;  // messages are sorted by location, then by time
  std::uint8_t time;
};

class Memory {
 public:
  /// All zero but what `set_first` says, and known to all.
  Memory();
  /// Before the first step: bytes of an earlier use of the memory. `word`: index in the ring.
  void set_first(unsigned word, std::uint32_t value);

  /// How many stores the thread may read at the location.
  [[nodiscard]] unsigned readable(unsigned thread, unsigned location) const;
  /// Reads the choice-th newest of them.
  std::uint64_t load(unsigned thread, unsigned location, unsigned choice, bool acquire);
  void store(unsigned thread, unsigned location, std::uint64_t value, bool release);
  std::uint64_t add(unsigned thread, unsigned location, std::uint64_t value, bool acquire,
                    bool release);
  /// Bytes inside of one word.
  void store_plain(unsigned thread, unsigned word, unsigned first_byte, const std::byte* value,
                   unsigned bytes);
  std::uint32_t load_plain(unsigned thread, unsigned word);

  /// `thread` learns all that `other` knows: a lock that the kernel hands on.
  void synchronise(unsigned thread, unsigned other);
  /// Nobody runs this thread any more: what only it could still read is forgotten.
  void retire(unsigned thread) { live_[thread] = 0; }
  /// Brings what cannot be told apart into one form.
  void canonicalise();

  [[nodiscard]] std::uint64_t newest(unsigned location) const;

 private:
  struct Word {
    std::uint32_t value;
    // The epoch of each thread's last access of each kind; 0: none that matters.
    std::array<std::uint8_t, kThreads> plain_store, plain_load, atomic_store, atomic_load;
  };

  [[nodiscard]] unsigned begin_of(unsigned location) const;
  [[nodiscard]] unsigned end_of(unsigned location, unsigned begin) const;
  void insert(unsigned thread, unsigned location, std::uint64_t value, const View* view);
  void order(unsigned thread, const std::array<std::uint8_t, kThreads>& epochs, unsigned word,
             const char* what) const;
  void note_atomic_load(unsigned thread, unsigned location);
  void note_atomic_store(unsigned thread, unsigned location);
  void erase(unsigned index);
  void forget_old_messages();
  void renumber_times();
  void renumber_clock(unsigned component);

  std::array<View, kThreads> views_{};
  std::array<std::uint8_t, kThreads> live_{};
  std::array<std::uint8_t, kLocations> writers_{};  // 0: none yet, else thread + 1
  // No hidden bytes: states are compared by their bytes.
  [[maybe_unused]] std::array<std::uint8_t, 6> reserved_{};
  std::array<Word, kRingWords> words_{};
  std::array<Message, kMessagesMax> messages_{};
  std::uint64_t message_count_ = 0;
};

static_assert(std::has_unique_object_representations_v<Message>);
static_assert(std::is_trivially_copyable_v<Memory>);

}  // namespace spillway::model
