// JsonLine: what a program of the bench says on stdout, one object on one line, for bench.py.
//
// One thread. Keys and strings are the bench's own: they hold nothing that needs escaping but
// quotation marks and backslashes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "bench/harness/histogram.h"

namespace spillway::bench {

class JsonLine {
 public:
  void add(std::string_view key, std::string_view text) {
    name(key);
    text_ += '"';
    for (const char letter : text) {
      if (letter == '"' || letter == '\\') text_ += '\\';
      text_ += letter;
    }
    text_ += '"';
  }
  void add(std::string_view key, const char* text) { add(key, std::string_view(text)); }
  void add(std::string_view key, double value) {
    name(key);
    char digits[48];
    std::snprintf(digits, sizeof digits, "%.3f", value);
    text_ += digits;
  }
  void add(std::string_view key, std::uint64_t value) {
    name(key);
    text_ += std::to_string(value);
  }
  void begin(std::string_view key) {
    name(key);
    text_ += '{';
  }
  void end() { text_ += '}'; }
  /// Percentiles in ns, and the buckets as [ns, count] for the plots.
  void add(std::string_view key, const Histogram& histogram, double ns_per_tick);
  void print() const {
    std::printf("{%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  void name(std::string_view key) {
    if (!text_.empty() && text_.back() != '{') text_ += ',';
    text_ += '"';
    text_ += key;
    text_ += "\":";
  }

  std::string text_;
};

inline void JsonLine::add(std::string_view key, const Histogram& histogram, double ns_per_tick) {
  const auto ns = [ns_per_tick](std::uint64_t ticks) {
    return static_cast<double>(ticks) * ns_per_tick;
  };
  begin(key);
  add("count", histogram.total());
  add("p50", ns(histogram.quantile(0.5)));
  add("p90", ns(histogram.quantile(0.9)));
  add("p99", ns(histogram.quantile(0.99)));
  add("p99.9", ns(histogram.quantile(0.999)));
  add("p99.99", ns(histogram.quantile(0.9999)));
  add("max", ns(histogram.max()));
  name("buckets");
  text_ += '[';
  for (std::size_t index = 0; index < Histogram::kBuckets; ++index) {
    if (histogram.count_at(index) == 0) continue;
    if (text_.back() != '[') text_ += ',';
    char pair[64];
    std::snprintf(pair, sizeof pair, "[%.1f,%llu]", ns(Histogram::value_of(index)),
                  static_cast<unsigned long long>(histogram.count_at(index)));
    text_ += pair;
  }
  text_ += ']';
  end();
}

}  // namespace spillway::bench
