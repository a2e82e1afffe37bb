#include "shm/producer/lane_identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "shm/producer/failure.h"
#include "shm/producer/tick_rate.h"
#include "spillway/core/topic.h"

namespace spillway::shm {

namespace {

constexpr const char* kBootIdPath = "/proc/sys/kernel/random/boot_id";
constexpr int kBootIdTextBytes = 36;

int digit_of(char text) {
  if (text >= '0' && text <= '9') return text - '0';
  if (text >= 'a' && text <= 'f') return text - 'a' + 10;
  return -1;
}

/// Reads "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" into 16 bytes.
Status read_boot_id(std::uint8_t* bytes) {
  const int fd = open(kBootIdPath, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed_call(errno, "cannot read", kBootIdPath);
  char text[kBootIdTextBytes];
  const ssize_t got = read(fd, text, sizeof text);
  close(fd);
  if (got != kBootIdTextBytes)
    return failed(Status::kSystem, "cannot read", kBootIdPath, "too short");
  int digits = 0;
  for (const char c : text) {
    const int digit = digit_of(c);
    if (digit < 0) continue;
    if (digits == 32) break;
    bytes[digits / 2] = static_cast<std::uint8_t>(bytes[digits / 2] << 4 | digit);
    ++digits;
  }
  return Status::kOk;
}

Status find_sizes(const ProducerOptions& options, std::uint64_t& capacity,
                  std::uint32_t& record_max) {
  capacity = options.lane_bytes == 0 ? kLaneBytesDefault : options.lane_bytes;
  if (!std::has_single_bit(capacity) || capacity < kLaneBytesMin || capacity > kLaneBytesMax) {
    return failed(Status::kInvalid, "lane_bytes", "is not a power of two from 16 KiB to 64 MiB",
                  "262144 fits most uses");
  }
  const auto takes = static_cast<std::uint32_t>(capacity / 2 - kHalfLaneReserve);
  if (options.max_record_bytes > takes) {
    return failed(Status::kInvalid, "max_record_bytes", "is more than lane_bytes / 2 - 32",
                  "use a larger lane");
  }
  record_max = options.max_record_bytes;
  if (record_max == 0) record_max = takes < kRecordBytesDefault ? takes : kRecordBytesDefault;
  return Status::kOk;
}

}  // namespace

Status fill_identity(const char* topic, const ProducerOptions& options,
                     format::LaneIdentity& identity, std::uint64_t& capacity) {
  const std::string_view topic_text = topic == nullptr ? std::string_view{} : topic;
  if (!core::is_valid_topic(topic_text)) {
    return failed(Status::kInvalid, "topic", topic == nullptr ? "(null)" : topic,
                  "a topic is 1 to 255 bytes of UTF-8 without '+' and '#'");
  }
  const char* name =
      options.producer_name == nullptr ? program_invocation_short_name : options.producer_name;
  std::string_view name_text = name;
  // A long program name is cut; one that was asked for is not.
  if (options.producer_name == nullptr && name_text.size() > core::kProducerNameBytesMax) {
    name_text = {name, core::kProducerNameBytesMax};
  }
  if (options.producer_name == nullptr && !core::is_valid_topic(name_text)) name_text = "unnamed";
  if (!core::is_valid_topic(name_text) || name_text.size() > core::kProducerNameBytesMax) {
    return failed(Status::kInvalid, "producer_name", name,
                  "a name is 1 to 63 bytes of UTF-8 without '+' and '#'");
  }
  std::uint32_t record_max = 0;
  Status status = find_sizes(options, capacity, record_max);
  if (status != Status::kOk) return status;
  status = read_boot_id(identity.mutable_boot_id()->Data());
  if (status != Status::kOk) return status;

  const TickSource ticks = find_tick_source();
  identity.mutate_tick_rate_hz(ticks.rate_hz);
  identity.mutate_clock_kind(static_cast<std::uint8_t>(ticks.clock));
  identity.mutate_schema_fingerprint(options.schema_fingerprint);
  identity.mutate_pid(static_cast<std::uint32_t>(getpid()));
  identity.mutate_uid(static_cast<std::uint32_t>(geteuid()));
  identity.mutate_max_record_bytes(record_max);
  identity.mutate_topic_size(static_cast<std::uint8_t>(topic_text.size()));
  identity.mutate_producer_size(static_cast<std::uint8_t>(name_text.size()));
  std::memcpy(identity.mutable_topic()->Data(), topic_text.data(), topic_text.size());
  std::memcpy(identity.mutable_producer()->Data(), name_text.data(), name_text.size());
  return Status::kOk;
}

}  // namespace spillway::shm
