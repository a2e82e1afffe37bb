#include "uplink/sinks/kafka/topic_template.h"

#include <array>
#include <utility>

namespace spillway::uplink::kafka {

namespace {

char allowed(char letter) {
  const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                     (letter >= '0' && letter <= '9') || letter == '.' || letter == '_' ||
                     letter == '-';
  if (plain) return letter;
  return letter == '/' ? '.' : '_';
}

}  // namespace

std::string expand_topic(std::string_view text, std::string_view gateway, std::string_view stream,
                         std::string_view topic) {
  const std::array<std::pair<std::string_view, std::string_view>, 3> words{
      {{"{gateway}", gateway}, {"{stream}", stream}, {"{topic}", topic}}};
  std::string name;
  while (!text.empty()) {
    std::string_view filled = text.substr(0, 1);
    std::size_t taken = 1;
    for (const auto& [word, value] : words) {
      if (!text.starts_with(word)) continue;
      filled = value;
      taken = word.size();
    }
    for (const char letter : filled) name += allowed(letter);
    text.remove_prefix(taken);
  }
  if (name.size() > kTopicBytesMax) name.resize(kTopicBytesMax);
  return name;
}

}  // namespace spillway::uplink::kafka
