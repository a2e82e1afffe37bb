// Topics and topic filters, MQTT-style: levels parted by '/', filters with '+' (one level) and a
// final '#' (the rest).
#pragma once

#include <cstddef>
#include <string_view>

namespace spillway::core {

inline constexpr std::size_t kTopicBytesMax = 255;
inline constexpr std::size_t kProducerNameBytesMax = 63;

/// Length of the UTF-8 sequence with which the text begins (RFC 3629: shortest form, no surrogates);
/// 0 if it is none. The text must not be empty.
[[nodiscard]] std::size_t utf8_sequence(std::string_view text);

/// 1..255 bytes of UTF-8 without NUL, '+' and '#'.
[[nodiscard]] bool is_valid_topic(std::string_view topic);
/// A topic in which a level may be '+', and the last one '#'.
[[nodiscard]] bool is_valid_topic_filter(std::string_view filter);
[[nodiscard]] bool topic_matches(std::string_view filter, std::string_view topic);

}  // namespace spillway::core
