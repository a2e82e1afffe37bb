// Exposition: samples in the Prometheus text exposition format 0.0.4: each family once, with its
// HELP and TYPE lines before its samples, in the order in which the families came.
//
// One thread. Names and label names are the caller's; label values and help are escaped here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spillway::cli {

enum class MetricType : std::uint8_t { kCounter, kGauge };

struct MetricFamily {
  std::string_view name;  // "spillway_stream_held_bytes"
  MetricType type = MetricType::kGauge;
  std::string_view help;
};

using Labels = std::vector<std::pair<std::string_view, std::string>>;

class Exposition {
 public:
  void add(const MetricFamily& family, const Labels& labels, std::uint64_t value);
  void add(const MetricFamily& family, const Labels& labels, double value);
  [[nodiscard]] std::string text() const;

 private:
  struct Collected {
    MetricFamily family;
    std::string samples;
  };
  void add_text(const MetricFamily& family, const Labels& labels, const std::string& value);

  std::vector<Collected> families_;
};

}  // namespace spillway::cli
