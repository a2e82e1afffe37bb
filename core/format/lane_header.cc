#include <bit>
#include <cstddef>
#include <string>

#include "core/format/checksum.h"
#include "core/format/rules.h"
#include "spillway/core/format.h"
#include "spillway/core/topic.h"

namespace spillway::core {

namespace {

constexpr std::size_t kUncheckedBytes = 24;
constexpr std::uint64_t kLaneHeaderBytes = 8192;
constexpr std::uint64_t kCapacityMin = 16ULL * 1024;
constexpr std::uint64_t kCapacityMax = 64ULL * 1024 * 1024;
/// A record, its header, and a free header behind it must fit in half the ring.
constexpr std::uint64_t kHalfReserve = 32;

std::uint64_t checksum_of(const format::LaneHeader& header) {
  return xxh3(bytes_of(header).subspan(kUncheckedBytes), 0);
}

template <typename Array>
std::string_view text_of(const Array& bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(size, bytes.size())};
}

bool is_valid_producer(std::string_view name) {
  return !name.empty() && name.size() <= kProducerNameBytesMax && is_valid_topic(name);
}

}  // namespace

std::string_view topic_of(const format::LaneIdentity& identity) {
  return text_of(*identity.topic(), identity.topic_size());
}

std::string_view producer_of(const format::LaneIdentity& identity) {
  return text_of(*identity.producer(), identity.producer_size());
}

Result<void> check_lane_identity(const format::LaneIdentity& identity) {
  if (!is_valid_topic(topic_of(identity))) return broken("the lane's topic is not a valid topic");
  if (!is_valid_producer(producer_of(identity))) {
    return broken("the lane's producer name is not 1 to 63 bytes of UTF-8 without '+' and '#'");
  }
  if (!is_zero_from(*identity.topic(), identity.topic_size()) ||
      !is_zero_from(*identity.producer(), identity.producer_size())) {
    return broken("the lane's unused name bytes are not 0");
  }
  if (identity.tick_rate_hz() == 0) return broken("the lane's tick rate is 0");
  if (identity.clock_kind() > static_cast<std::uint8_t>(format::ClockKind::monotonic_coarse)) {
    return broken("the lane's clock is of an unknown kind");
  }
  if (identity.max_record_bytes() == 0 || identity.max_record_bytes() > kRecordBytesLimit) {
    return broken("the lane's record limit is not 1 byte to 32 MiB");
  }
  if (identity.reserved() != 0 || !is_zero_from(*identity.reserved_tail())) {
    return broken("the lane's reserved bytes are used");
  }
  return {};
}

void seal_lane_header(format::LaneHeader& header) { header.mutate_checksum(checksum_of(header)); }

Result<void> check_lane_header(const format::LaneHeader& header, std::uint64_t file_size) {
  SPILLWAY_CHECKED(check_magic(header.magic(), kLaneMagic, header.version(), "the lane"));
  if (header.header_size() != kLaneHeaderBytes) {
    return broken("the lane's header size is not 8192");
  }
  if (header.checksum() != checksum_of(header)) {
    return broken("the lane header's checksum does not fit its bytes");
  }
  const std::uint64_t capacity = header.capacity();
  if (!std::has_single_bit(capacity) || capacity < kCapacityMin || capacity > kCapacityMax) {
    return broken("the lane's capacity is not a power of two from 16 KiB to 64 MiB");
  }
  if (file_size != kLaneHeaderBytes + capacity) {
    return broken("the lane's file has " + std::to_string(file_size) + " bytes instead of " +
                  std::to_string(kLaneHeaderBytes + capacity));
  }
  SPILLWAY_CHECKED(check_lane_identity(header.identity()));
  if (header.identity().max_record_bytes() > capacity / 2 - kHalfReserve) {
    return broken("the lane's record limit does not fit half its capacity");
  }
  return {};
}

}  // namespace spillway::core
