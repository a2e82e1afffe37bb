// KeptFile: a small file of /proc or /sys, opened once and read from its beginning each time.
//
// One thread. The text is good until the next read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spillway::agent::sensor {

class KeptFile {
 public:
  /// Not there: is_open() is false, and every read is empty.
  explicit KeptFile(const std::string& path, std::size_t bytes_max = 16 * 1024);
  ~KeptFile();
  KeptFile(KeptFile&& other) noexcept;
  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;
  KeptFile& operator=(KeptFile&&) = delete;

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  /// At most bytes_max bytes; what lies behind them is left out.
  [[nodiscard]] std::string_view read();

 private:
  int descriptor_;
  std::vector<char> buffer_;
};

}  // namespace spillway::agent::sensor
