// What the adapter has counted, as `spillway status` shows it.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace spillway::agent::mqtt {

/// What becomes of a message of a map. Each has one; all but kOverflowed are acknowledged, for a broker would bring it
/// again for ever.
enum class Fate : std::uint8_t {
  kEnqueued,
  kAlreadyThere,  // came again, and its record stood in the lane
  kEmpty,         // a record has a byte at least
  kTooLarge,      // than max_record_bytes, or than a segment of the stream
  kBadTopic,      // is no topic of Spillway's
  kInvalid,       // does not fit the schema
  kOverflowed,    // of QoS 0, at a full lane
};
inline constexpr std::size_t kFates = 7;

struct FateName {
  Fate fate;
  const char* key;
  const char* meaning;
};
inline constexpr std::array<FateName, kFates> kFateNames{{
    {Fate::kEnqueued, "enqueued", "became records"},
    {Fate::kAlreadyThere, "already_there", "came again while their records stood in the lane"},
    {Fate::kEmpty, "empty", "without a byte cannot be records"},
    {Fate::kTooLarge, "too_large", "are larger than max_record_bytes, or than a segment takes"},
    {Fate::kBadTopic, "bad_topic", "have a topic above 255 bytes, or one that is no UTF-8"},
    {Fate::kInvalid, "invalid", "do not fit the schema"},
    {Fate::kOverflowed, "overflowed", "of QoS 0 met a full lane"},
}};

struct MapCounts {
  std::uint64_t taken = 0;
  std::uint64_t redelivered = 0;  // of those, the ones that the broker had sent before
  std::uint64_t held_up = 0;      // times that a full lane was waited for
  std::array<std::uint64_t, kFates> fates{};
};

struct Counts {
  std::string state = "starting";
  std::string error;
  std::uint64_t connections = 0;
  std::uint64_t sessions_lost = 0;  // the broker had forgotten this client
  std::uint64_t acknowledged = 0;   // messages of QoS 1
  std::uint64_t unmapped = 0;       // that no map takes: of filters of an older configuration
  std::uint64_t lanes = 0;          // open now
  std::vector<MapCounts> maps;
};

class Status {
 public:
  explicit Status(std::size_t maps) { counts_.maps.resize(maps); }
  template <typename Edit>
  void edit(Edit edit_counts) {
    const std::lock_guard lock(mutex_);
    edit_counts(counts_);
  }
  [[nodiscard]] Counts read() {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  std::mutex mutex_;
  Counts counts_;
};

}  // namespace spillway::agent::mqtt
