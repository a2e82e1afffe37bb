// The C ABI of the producer: Producer behind a pointer.
#include <cstdlib>
#include <new>

#include "shm/producer/failure.h"
#include "spillway/producer.h"
#include "spillway/spillway.h"

struct spillway_producer {
  spillway::Producer producer;
};

namespace {

using spillway::Level;
using spillway::Status;

spillway_status code_of(Status status) { return static_cast<spillway_status>(status); }

static_assert(SPILLWAY_FULL == static_cast<int>(Status::kFull));
static_assert(SPILLWAY_TOO_LARGE == static_cast<int>(Status::kTooLarge));
static_assert(SPILLWAY_TIMEOUT == static_cast<int>(Status::kTimeout));
static_assert(SPILLWAY_INVALID == static_cast<int>(Status::kInvalid));
static_assert(SPILLWAY_NO_QUEUE == static_cast<int>(Status::kNoQueue));
static_assert(SPILLWAY_PERMISSION == static_cast<int>(Status::kPermission));
static_assert(SPILLWAY_NO_SPACE == static_cast<int>(Status::kNoSpace));
static_assert(SPILLWAY_NEWER_VERSION == static_cast<int>(Status::kNewerVersion));
static_assert(SPILLWAY_CLOSED == static_cast<int>(Status::kClosed));
static_assert(SPILLWAY_SET_ASIDE == static_cast<int>(Status::kSetAside));
static_assert(SPILLWAY_SYSTEM == static_cast<int>(Status::kSystem));
static_assert(SPILLWAY_CORRUPT == static_cast<int>(Status::kCorrupt));
static_assert(SPILLWAY_END == static_cast<int>(Status::kEnd));
static_assert(SPILLWAY_POWER_SAFE == static_cast<int>(Level::kPowerSafe));

spillway::Producer::TimePoint deadline_after(std::uint64_t timeout_ns) {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  // A century is as good as for ever, and far from overflow.
  constexpr std::uint64_t kLongestNs = 3'000'000'000'000'000'000U;
  const std::uint64_t wait_ns = timeout_ns < kLongestNs ? timeout_ns : kLongestNs;
  const std::int64_t at_ns = static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec +
                             static_cast<std::int64_t>(wait_ns);
  return spillway::Producer::TimePoint(std::chrono::nanoseconds(at_ns));
}

/// Options of any version of the struct: what a caller's header did not have yet is taken as 0.
spillway::ProducerOptions options_of(const spillway_producer_options& given) {
  spillway_producer_options known{};
  std::memcpy(&known, &given, given.struct_size < sizeof known ? given.struct_size : sizeof known);
  const std::size_t schema_size = known.schema == nullptr ? 0 : known.schema_size;
  return {known.producer_name,
          known.lane_bytes,
          known.max_record_bytes,
          known.schema_fingerprint,
          {static_cast<const std::byte*>(known.schema), schema_size}};
}

}  // namespace

const char* spillway_status_text(spillway_status status) {
  return spillway::status_text(static_cast<Status>(status));
}

const char* spillway_error_detail(void) { return spillway::error_detail(); }

spillway_status spillway_producer_open(const char* queue_dir, const char* topic,
                                       const spillway_producer_options* options,
                                       spillway_producer** producer) {
  if (producer == nullptr) {
    return code_of(spillway::shm::failed(Status::kInvalid, "producer", "is NULL", ""));
  }
  *producer = nullptr;
  if (options != nullptr && options->struct_size == 0) {
    return code_of(spillway::shm::failed(Status::kInvalid, "options", "struct_size is 0",
                                         "set it to sizeof(spillway_producer_options)"));
  }
  void* memory = std::malloc(sizeof(spillway_producer));
  if (memory == nullptr) {
    return code_of(
        spillway::shm::failed(Status::kSystem, "cannot open", "a producer", "no memory"));
  }
  auto* made = new (memory) spillway_producer;
  const Status status = made->producer.open(
      queue_dir, topic, options == nullptr ? spillway::ProducerOptions{} : options_of(*options));
  if (status != Status::kOk) {
    made->~spillway_producer();
    std::free(memory);
    return code_of(status);
  }
  *producer = made;
  return SPILLWAY_OK;
}

spillway_status spillway_producer_put(spillway_producer* producer, const void* record,
                                      size_t size) {
  if (producer == nullptr || record == nullptr) return SPILLWAY_INVALID;
  return code_of(producer->producer.put({static_cast<const std::byte*>(record), size}));
}

spillway_status spillway_producer_put_many(spillway_producer* producer,
                                           const spillway_bytes* records, size_t count,
                                           size_t* accepted) {
  if (accepted != nullptr) *accepted = 0;
  if (producer == nullptr || (records == nullptr && count != 0)) return SPILLWAY_INVALID;
  const auto taken = producer->producer.put_many(count, [records](std::size_t i) {
    // No bytes, and no record: an empty one is refused.
    const std::size_t size = records[i].data == nullptr ? 0 : records[i].size;
    return std::span(static_cast<const std::byte*>(records[i].data), size);
  });
  if (accepted != nullptr) *accepted = taken.records;
  return code_of(taken.status);
}

spillway_status spillway_producer_claim(spillway_producer* producer, size_t size, void** room) {
  if (producer == nullptr || room == nullptr) return SPILLWAY_INVALID;
  const spillway::Claim claim = producer->producer.claim(size);
  *room = claim.data();
  return code_of(claim.status());
}

spillway_status spillway_producer_commit(spillway_producer* producer, size_t size) {
  if (producer == nullptr) return SPILLWAY_INVALID;
  return code_of(producer->producer.commit_last(size));
}

spillway_status spillway_producer_flush(spillway_producer* producer, spillway_level level,
                                        uint64_t timeout_ns) {
  if (producer == nullptr) return SPILLWAY_INVALID;
  return code_of(
      producer->producer.flush_until(deadline_after(timeout_ns), static_cast<Level>(level)));
}

spillway_level spillway_producer_reached(const spillway_producer* producer) {
  if (producer == nullptr) return SPILLWAY_ACCEPTED;
  return static_cast<spillway_level>(producer->producer.reached());
}

uint64_t spillway_producer_rejected(const spillway_producer* producer) {
  return producer == nullptr ? 0 : producer->producer.rejected();
}

void spillway_producer_close(spillway_producer* producer) {
  if (producer == nullptr) return;
  producer->~spillway_producer();
  std::free(producer);
}
