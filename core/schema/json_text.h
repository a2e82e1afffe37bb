// JsonText: a line of JSON as it grows. Private to core/schema; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace spillway::core {

class JsonText {
 public:
  void raw(std::string_view text) { text_ += text; }
  /// False, and nothing added, if it is not UTF-8.
  [[nodiscard]] bool string(std::string_view text);
  void integer(std::int64_t value);
  void natural(std::uint64_t value);
  /// The shortest text that reads back as the same number; null where JSON has none.
  void real(float value);
  void real(double value);

  [[nodiscard]] std::size_t size() const { return text_.size(); }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace spillway::core
