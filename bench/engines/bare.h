// What the bare loops have in common, beside which the sinks are measured: a record's headers as a sink makes
// them (docs/engines.md), and the rate. A bare loop reads no spill and keeps no cursor.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace spillway::bench {

[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "bare loop: %s\n", why.c_str());
  std::exit(3);
}

inline const std::string kUuid = "0f0e0d0c-0b0a-4908-8706-050403020100";

using Headers = std::vector<std::pair<const char*, std::string>>;

/// Of the record with this offset.
inline Headers headers_of(std::uint64_t offset) {
  return {{"spillway-kind", "record"},
          {"spillway-gateway", kUuid},
          {"spillway-gateway-name", "demo/gateway"},
          {"spillway-journal", kUuid},
          {"spillway-journal-sequence", "0"},
          {"spillway-journal-first", "0"},
          {"spillway-stream", "telemetry"},
          {"spillway-offset", std::to_string(offset)},
          {"spillway-lane", "14627333968358193854"},
          {"spillway-topic", "demo/0"},
          {"spillway-producer", "tally-0"},
          {"spillway-boot", kUuid},
          {"spillway-time", std::to_string(1'700'000'000'000'000'000 + offset)},
          {"spillway-boottime", std::to_string(5'000'000'000'000 + offset)}};
}

inline std::string message_id_of(std::uint64_t offset) {
  return kUuid + "/" + kUuid + "/telemetry/" + std::to_string(offset);
}

/// Messages a second, from the first acknowledgement to the last, as a sink's is taken.
class Rate {
 public:
  void acknowledged(std::uint64_t messages) {
    if (at_first_ != 0 || messages == 0) return;
    at_first_ = messages;
    first_ = Clock::now();
  }
  void print(std::uint64_t messages) const {
    const double took_s = std::chrono::duration<double>(Clock::now() - first_).count();
    std::printf("%.0f\n", static_cast<double>(messages - at_first_) / took_s);
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point first_{};
  std::uint64_t at_first_ = 0;
};

}  // namespace spillway::bench
