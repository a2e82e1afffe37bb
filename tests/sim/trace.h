// Trace: what happened in a world, line by line, and what was found to be wrong. One thread.
//
// Lines are made only when somebody wants to read them; a hash over all of them is kept always, so that
// two runs of a seed can be compared for the price of a few multiplications.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/timeline.h"

namespace spillway::sim {

class Trace {
 public:
  /// The first ones tell what is wrong; a broken world could fill the memory with more.
  static constexpr std::size_t kFindingsMax = 16;

  Trace(const Timeline& timeline, bool keep_text) : timeline_(timeline), keep_text_(keep_text) {}

  /// `who` names an actor: "g0 uplink".
  void note(std::string_view who, std::string_view what, std::uint64_t a = 0, std::uint64_t b = 0) {
    mix(timeline_.now_ns());
    for (const char c : what) mix(static_cast<unsigned char>(c));
    mix(a);
    mix(b);
    if (keep_text_) add_line(who, what, a, b);
  }
  void find(std::string text) {
    note("ORACLE", text);
    if (findings_.size() < kFindingsMax) findings_.push_back(std::move(text));
  }

  [[nodiscard]] const std::vector<std::string>& findings() const { return findings_; }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool keeps_text() const { return keep_text_; }

 private:
  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x9E37'79B9'7F4A'7C15ULL; }
  void add_line(std::string_view who, std::string_view what, std::uint64_t a, std::uint64_t b);

  const Timeline& timeline_;
  bool keep_text_;
  std::uint64_t hash_ = 0x5350'494C'4C57'4159ULL;
  std::string text_;
  std::vector<std::string> findings_;
};

}  // namespace spillway::sim
