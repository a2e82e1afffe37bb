// Fields: walks the words and numbers of a line of /proc. Missing fields read as empty and 0.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

namespace spillway::agent::sensor {

/// Takes the next line off `text`; false at the end.
[[nodiscard]] inline bool next_line(std::string_view& text, std::string_view& line) {
  if (text.empty()) return false;
  const std::size_t end = text.find('\n');
  line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return true;
}

class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}

  [[nodiscard]] std::string_view word(std::string_view separators = " \t:") {
    const std::size_t begin = rest_.find_first_not_of(separators);
    if (begin == std::string_view::npos) {
      rest_ = {};
      return {};
    }
    rest_.remove_prefix(begin);
    const std::size_t end = rest_.find_first_of(separators);
    const std::string_view found = rest_.substr(0, end);
    rest_.remove_prefix(found.size());
    return found;
  }
  [[nodiscard]] std::uint64_t number() {
    const std::string_view text = word();
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  [[nodiscard]] float decimal() {
    const std::string_view text = word();
    float value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  void skip(int words) {
    for (int i = 0; i < words; ++i) static_cast<void>(word());
  }

 private:
  std::string_view rest_;
};

}  // namespace spillway::agent::sensor
