#include "uplink/sinks/kafka/stored_positions.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <charconv>

namespace spillway::uplink::kafka {

namespace {

constexpr std::string_view kVersion = "spillway 1";
constexpr std::size_t kKeyDigits = 16;

std::string hexadecimal(std::uint64_t value) {
  std::string text(kKeyDigits, '0');
  for (std::size_t i = kKeyDigits; i-- > 0; value >>= 4U) text[i] = "0123456789abcdef"[value & 15U];
  return text;
}

bool read_number(std::string_view text, int base, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

}  // namespace

// spillway 1 <key>=<next offset> <key>=<next offset> ...
StoredPositions::StoredPositions(std::string_view text) {
  if (!text.starts_with(kVersion)) return;
  text.remove_prefix(kVersion.size());
  while (text.starts_with(' ') && positions_.size() < kStreamsMax) {
    text.remove_prefix(1);
    const std::string_view word = text.substr(0, text.find(' '));
    Position position{};
    if (word.size() < kKeyDigits + 2 || word[kKeyDigits] != '=' ||
        !read_number(word.substr(0, kKeyDigits), 16, position.key) ||
        !read_number(word.substr(kKeyDigits + 1), 10, position.next_offset) ||
        by_key_.contains(position.key)) {
      return;
    }
    by_key_[position.key] = positions_.insert(positions_.end(), position);
    text.remove_prefix(word.size());
  }
}

std::uint64_t StoredPositions::key_of(const Envelope& envelope) {
  std::string text = envelope.gateway.text() + envelope.journal.text();
  text += envelope.stream;
  return XXH3_64bits(text.data(), text.size());
}

std::uint64_t StoredPositions::find(std::uint64_t key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? 0 : found->second->next_offset;
}

void StoredPositions::advance(std::uint64_t key, std::uint64_t next_offset) {
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    positions_.splice(positions_.begin(), positions_, found->second);
    found->second->next_offset = std::max(found->second->next_offset, next_offset);
    return;
  }
  positions_.push_front({key, next_offset});
  by_key_[key] = positions_.begin();
  if (positions_.size() <= kStreamsMax) return;
  by_key_.erase(positions_.back().key);
  positions_.pop_back();
}

std::string StoredPositions::text() const {
  std::string text(kVersion);
  for (const Position& position : positions_) {
    text += ' ' + hexadecimal(position.key) + '=' + std::to_string(position.next_offset);
  }
  return text;
}

std::uint64_t StoredPositions::highest() const {
  std::uint64_t highest = 0;
  for (const Position& position : positions_) highest = std::max(highest, position.next_offset);
  return highest;
}

}  // namespace spillway::uplink::kafka
