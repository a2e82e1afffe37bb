#include "spillway/core/topic.h"

#include <cstdint>

namespace spillway::core {

std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  std::size_t size = 0;
  std::uint8_t second_min = 0x80;
  std::uint8_t second_max = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3;
    if (lead == 0xE0) second_min = 0xA0;
    if (lead == 0xED) second_max = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    if (lead == 0xF0) second_min = 0x90;
    if (lead == 0xF4) second_max = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < size) return 0;
  if (byte(1) < second_min || byte(1) > second_max) return 0;
  for (std::size_t i = 2; i < size; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return size;
}

namespace {

bool is_text(std::string_view text) {
  if (text.empty() || text.size() > kTopicBytesMax) return false;
  while (!text.empty()) {
    if (text.front() == '\0') return false;
    const std::size_t size = utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

/// Cuts the first level off; `more` says whether a '/' followed it.
std::string_view take_level(std::string_view& rest, bool& more) {
  const std::size_t slash = rest.find('/');
  more = slash != std::string_view::npos;
  const std::string_view level = rest.substr(0, slash);
  rest = more ? rest.substr(slash + 1) : std::string_view{};
  return level;
}

}  // namespace

bool is_valid_topic(std::string_view topic) {
  return is_text(topic) && topic.find_first_of("+#") == std::string_view::npos;
}

bool is_valid_topic_filter(std::string_view filter) {
  if (!is_text(filter)) return false;
  bool more = true;
  while (more) {
    const std::string_view level = take_level(filter, more);
    if (level == "+") continue;
    if (level == "#") return !more;
    if (level.find_first_of("+#") != std::string_view::npos) return false;
  }
  return true;
}

bool topic_matches(std::string_view filter, std::string_view topic) {
  bool filter_more = true;
  bool topic_more = true;
  while (true) {
    const std::string_view wanted = take_level(filter, filter_more);
    if (wanted == "#") return true;
    if (!topic_more) return false;
    const std::string_view level = take_level(topic, topic_more);
    if (wanted != "+" && wanted != level) return false;
    if (!filter_more) return !topic_more;
    // "a/#" takes "a" as well, as in MQTT; nothing else in the filter may be left over.
    if (!topic_more) return filter == "#";
  }
}

}  // namespace spillway::core
