#include "tests/model/memory.h"

#include <algorithm>
#include <cstring>

namespace spillway::model {

namespace {

constexpr unsigned kWordsPerUnit = kUnitBytes / kWordBytes;

bool in_ring(unsigned location) { return location < kRingUnits; }
unsigned word_of(unsigned location) { return location * kWordsPerUnit; }
bool is_unit(unsigned word) { return word % kWordsPerUnit == 0; }

}  // namespace

void View::join(const View& other) {
  for (unsigned i = 0; i < kLocations; ++i) seen[i] = std::max(seen[i], other.seen[i]);
  for (unsigned i = 0; i < kThreads; ++i) clock[i] = std::max(clock[i], other.clock[i]);
}

Memory::Memory() {
  static_assert(std::has_unique_object_representations_v<Memory>);
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    live_[thread] = 1;
    views_[thread].clock[thread] = 1;
  }
  for (unsigned location = 0; location < kLocations; ++location) {
    messages_[location].location = static_cast<std::uint8_t>(location);
  }
  message_count_ = kLocations;
}

void Memory::set_first(unsigned word, std::uint32_t value) {
  words_[word].value = value;
  if (is_unit(word)) messages_[begin_of(word / kWordsPerUnit)].value = value;
}

unsigned Memory::begin_of(unsigned location) const {
  unsigned at = 0;
  while (messages_[at].location != location) ++at;  // each location has a message
  return at;
}

unsigned Memory::end_of(unsigned location, unsigned begin) const {
  unsigned at = begin;
  while (at < message_count_ && messages_[at].location == location) ++at;
  return at;
}

unsigned Memory::readable(unsigned thread, unsigned location) const {
  const unsigned begin = begin_of(location);
  unsigned count = 0;
  for (unsigned at = end_of(location, begin); at > begin; --at) {
    if (messages_[at - 1].time < views_[thread].seen[location]) break;
    ++count;
  }
  return count;
}

std::uint64_t Memory::newest(unsigned location) const {
  return messages_[end_of(location, begin_of(location)) - 1].value;
}

/// Every access in `epochs` by another thread must have happened before.
void Memory::order(unsigned thread, const std::array<std::uint8_t, kThreads>& epochs, unsigned word,
                   const char* what) const {
  for (unsigned other = 0; other < kThreads; ++other) {
    if (other == thread || epochs[other] <= views_[thread].clock[other]) continue;
    throw Violation{std::string("a data race at ring byte ") + std::to_string(word * kWordBytes) +
                    ": " + what};
  }
}

void Memory::note_atomic_load(unsigned thread, unsigned location) {
  if (!in_ring(location)) return;
  Word& word = words_[word_of(location)];
  order(thread, word.plain_store, word_of(location), "an atomic load and a plain store");
  word.atomic_load[thread] = views_[thread].clock[thread];
}

void Memory::note_atomic_store(unsigned thread, unsigned location) {
  if (writers_[location] != 0 && writers_[location] != thread + 1) {
    throw Violation{"two threads store to one location, which the semantics here do not cover"};
  }
  writers_[location] = static_cast<std::uint8_t>(thread + 1);
  if (!in_ring(location)) return;
  Word& word = words_[word_of(location)];
  order(thread, word.plain_store, word_of(location), "an atomic store and a plain store");
  order(thread, word.plain_load, word_of(location), "an atomic store and a plain load");
  word.atomic_store[thread] = views_[thread].clock[thread];
}

std::uint64_t Memory::load(unsigned thread, unsigned location, unsigned choice, bool acquire) {
  note_atomic_load(thread, location);
  const Message& message = messages_[end_of(location, begin_of(location)) - 1 - choice];
  View& view = views_[thread];
  view.seen[location] = message.time;
  // A message that was not released has an empty view.
  if (acquire) view.join(message.view);
  return message.value;
}

void Memory::insert(unsigned thread, unsigned location, std::uint64_t value, const View* view) {
  if (message_count_ == kMessagesMax) throw Violation{"more than kMessagesMax stores to remember"};
  const unsigned end = end_of(location, begin_of(location));
  std::copy_backward(messages_.begin() + end, messages_.begin() + message_count_,
                     messages_.begin() + message_count_ + 1);
  ++message_count_;
  Message& message = messages_[end];
  message.value = value;
  message.location = static_cast<std::uint8_t>(location);
  message.time = static_cast<std::uint8_t>(messages_[end - 1].time + 1);
  views_[thread].seen[location] = message.time;
  message.view = view == nullptr ? View{} : *view;
  message.view.seen[location] = message.time;
  if (in_ring(location)) words_[word_of(location)].value = static_cast<std::uint32_t>(value);
}

void Memory::store(unsigned thread, unsigned location, std::uint64_t value, bool release) {
  note_atomic_store(thread, location);
  View& view = views_[thread];
  insert(thread, location, value, release ? &view : nullptr);
  // What comes from here on is not covered by this release.
  if (release) ++view.clock[thread];
}

std::uint64_t Memory::add(unsigned thread, unsigned location, std::uint64_t value, bool acquire,
                          bool release) {
  const std::uint64_t before = load(thread, location, 0, acquire);
  note_atomic_store(thread, location);
  View carried = messages_[end_of(location, begin_of(location)) - 1].view;
  if (release) carried.join(views_[thread]);
  insert(thread, location, before + value, &carried);
  if (release) ++views_[thread].clock[thread];
  return before;
}

void Memory::store_plain(unsigned thread, unsigned word, unsigned first_byte,
                         const std::byte* value, unsigned bytes) {
  Word& target = words_[word];
  order(thread, target.plain_store, word, "two plain stores");
  order(thread, target.plain_load, word, "a plain store and a plain load");
  order(thread, target.atomic_store, word, "a plain store and an atomic store");
  order(thread, target.atomic_load, word, "a plain store and an atomic load");
  target.plain_store[thread] = views_[thread].clock[thread];
  std::memcpy(reinterpret_cast<std::byte*>(&target.value) + first_byte, value, bytes);
  if (!is_unit(word)) return;
  // Whoever reads an atomic here has this store behind it, or races with it.
  const unsigned location = word / kWordsPerUnit;
  insert(thread, location, target.value, nullptr);
  const unsigned begin = begin_of(location);
  while (end_of(location, begin) - begin > 1) erase(begin);
}

std::uint32_t Memory::load_plain(unsigned thread, unsigned word) {
  Word& source = words_[word];
  order(thread, source.plain_store, word, "a plain load and a plain store");
  order(thread, source.atomic_store, word, "a plain load and an atomic store");
  source.plain_load[thread] = views_[thread].clock[thread];
  return source.value;
}

void Memory::synchronise(unsigned thread, unsigned other) { views_[thread].join(views_[other]); }

void Memory::erase(unsigned index) {
  std::copy(messages_.begin() + index + 1, messages_.begin() + message_count_,
            messages_.begin() + index);
  --message_count_;
  messages_[message_count_] = Message{};
}

void Memory::canonicalise() {
  forget_old_messages();
  renumber_times();
  for (unsigned component = 0; component < kThreads; ++component) renumber_clock(component);
}

void Memory::forget_old_messages() {
  for (unsigned at = 0; at < message_count_;) {
    const Message& message = messages_[at];
    bool wanted = at + 1 == message_count_ || messages_[at + 1].location != message.location;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
      wanted |= live_[thread] != 0 && message.time >= views_[thread].seen[message.location];
    }
    if (wanted) {
      ++at;
    } else {
      erase(at);
    }
  }
}

/// Each location's first message gets time 0, the others count up.
void Memory::renumber_times() {
  std::array<std::uint8_t, kLocations> first;
  for (std::uint64_t at = message_count_; at-- > 0;) {
    first[messages_[at].location] = messages_[at].time;
  }
  const auto rebase = [&first](View& view) {
    for (unsigned i = 0; i < kLocations; ++i) {
      view.seen[i] = static_cast<std::uint8_t>(std::max(view.seen[i], first[i]) - first[i]);
    }
  };
  for (View& view : views_) rebase(view);
  for (unsigned at = 0; at < message_count_; ++at) {
    rebase(messages_[at].view);
    messages_[at].time =
        static_cast<std::uint8_t>(messages_[at].time - first[messages_[at].location]);
  }
}

/// Epochs matter only by how they compare with what threads and messages know: each becomes the
/// number of distinct known epochs below it. What all living threads know, nobody can learn.
void Memory::renumber_clock(unsigned component) {
  std::uint8_t floor = 255;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    if (live_[thread] != 0) floor = std::min(floor, views_[thread].clock[component]);
  }
  const auto raise = [floor](std::uint8_t& epoch) { epoch = std::max(epoch, floor); };
  for (View& view : views_) raise(view.clock[component]);
  for (unsigned at = 0; at < message_count_; ++at) raise(messages_[at].view.clock[component]);
  std::array<std::uint8_t, 256> rank{};
  for (const View& view : views_) rank[view.clock[component]] = 1;
  for (unsigned at = 0; at < message_count_; ++at) rank[messages_[at].view.clock[component]] = 1;
  std::uint8_t below = 0;
  for (std::uint8_t& entry : rank) {
    const std::uint8_t known = entry;
    entry = below;
    below = static_cast<std::uint8_t>(below + known);
  }
  const auto renumber = [&rank](std::uint8_t& epoch) { epoch = rank[epoch]; };
  for (View& view : views_) renumber(view.clock[component]);
  for (unsigned at = 0; at < message_count_; ++at) renumber(messages_[at].view.clock[component]);
  for (Word& word : words_) {
    renumber(word.plain_store[component]);
    renumber(word.plain_load[component]);
    renumber(word.atomic_store[component]);
    renumber(word.atomic_load[component]);
  }
}

}  // namespace spillway::model
