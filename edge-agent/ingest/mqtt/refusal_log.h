// RefusalLog: says which messages did not become records, and why, without a line for each. One thread.
#pragma once

#include <array>
#include <chrono>
#include <string>

#include "edge-agent/ingest/mqtt/counts.h"
#include "spillway/core/log.h"

namespace spillway::agent::mqtt {

class RefusalLog {
 public:
  /// Of one kind there is one line in this time, with how many there were.
  static constexpr std::chrono::seconds kLineEvery{10};

  void say(Fate fate, const std::string& message_topic, const std::string& detail,
           std::uint64_t messages = 1) {
    Kind& kind = kinds_.at(static_cast<std::size_t>(fate));
    kind.untold += messages;
    const auto now = std::chrono::steady_clock::now();
    if (kind.told && now - kind.told_at < kLineEvery) return;
    const FateName& name = kFateNames.at(static_cast<std::size_t>(fate));
    spdlog::warn("{} messages {}, the last one of {}{}", kind.untold, name.meaning, message_topic,
                 detail.empty() ? "" : ": " + detail);
    kind = {0, true, now};
  }

 private:
  struct Kind {
    std::uint64_t untold = 0;
    bool told = false;
    std::chrono::steady_clock::time_point told_at;
  };
  std::array<Kind, kFates> kinds_;
};

}  // namespace spillway::agent::mqtt
