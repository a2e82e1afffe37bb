#include "core/schema/json_text.h"

#include <array>
#include <charconv>
#include <cmath>

#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

template <typename Number>
void append_number(std::string& text, Number value) {
  std::array<char, 40> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text.append(digits.data(), end);
}

template <typename Real>
void append_real(std::string& text, Real value) {
  if (!std::isfinite(value)) {
    text += "null";
    return;
  }
  append_number(text, value);
}

void append_control(std::string& text, unsigned char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  text += "\\u00";
  text += kDigits[c >> 4];
  text += kDigits[c & 15];
}

}  // namespace

bool JsonText::string(std::string_view text) {
  const std::size_t before = text_.size();
  text_ += '"';
  std::size_t plain = 0;  // so much of the text stands for itself, and is not added yet
  while (plain < text.size()) {
    const auto c = static_cast<unsigned char>(text[plain]);
    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
      ++plain;
      continue;
    }
    const std::size_t size = utf8_sequence(text.substr(plain));
    if (size == 0) {
      text_.resize(before);
      return false;
    }
    if (c >= 0x80) {
      plain += size;
      continue;
    }
    text_ += text.substr(0, plain);
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += text[plain];
    } else {
      append_control(text_, c);
    }
    text.remove_prefix(plain + 1);
    plain = 0;
  }
  text_ += text;
  text_ += '"';
  return true;
}

void JsonText::integer(std::int64_t value) { append_number(text_, value); }
void JsonText::natural(std::uint64_t value) { append_number(text_, value); }
void JsonText::real(float value) { append_real(text_, value); }
void JsonText::real(double value) { append_real(text_, value); }

}  // namespace spillway::core
