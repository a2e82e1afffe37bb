#include "edge-agent/cli/exposition.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace spillway::cli {
namespace {

/// Backslash and line feed everywhere; the double quote in label values only.
std::string escaped(std::string_view text, bool quote) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || (c == '"' && quote)) out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void Exposition::add(const MetricFamily& family, const Labels& labels, std::uint64_t value) {
  add_text(family, labels, std::to_string(value));
}

void Exposition::add(const MetricFamily& family, const Labels& labels, double value) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%.12g", value);
  add_text(family, labels, digits.data());
}

void Exposition::add_text(const MetricFamily& family, const Labels& labels,
                          const std::string& value) {
  auto found = std::find_if(families_.begin(), families_.end(),
                            [&](const auto& known) { return known.family.name == family.name; });
  if (found == families_.end()) found = families_.insert(found, {family, ""});
  std::string& line = found->samples;
  line += family.name;
  char parting = '{';
  for (const auto& [name, text] : labels) {
    line += parting;
    line += name;
    line += "=\"" + escaped(text, true) + '"';
    parting = ',';
  }
  if (!labels.empty()) line += '}';
  line += ' ' + value + '\n';
}

std::string Exposition::text() const {
  std::string out;
  for (const auto& [family, samples] : families_) {
    const std::string name(family.name);
    out += "# HELP " + name + ' ' + escaped(family.help, false) + '\n';
    out += "# TYPE " + name + (family.type == MetricType::kCounter ? " counter\n" : " gauge\n");
    out += samples;
  }
  return out;
}

}  // namespace spillway::cli
