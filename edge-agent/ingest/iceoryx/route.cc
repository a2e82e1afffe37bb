#include "edge-agent/ingest/iceoryx/route.h"

#include <iceoryx_posh/mepoo/chunk_header.hpp>
#include <utility>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"

namespace spillway::agent::iceoryx {
namespace {

/// A publisher that overflows its queue does so thousands of times a second: one line a while.
constexpr std::uint64_t kLossLineEveryNs = 10'000'000'000;

iox::capro::IdString_t id_of(const std::string& text) {
  return {iox::cxx::TruncateToCapacity, text};  // its length was checked with the configuration
}

iox::popo::SubscriberOptions options_of(const core::IceoryxMapConfig& map) {
  iox::popo::SubscriberOptions options;
  options.queueCapacity = map.queue_capacity;
  options.historyRequest = map.history;
  options.queueFullPolicy = map.block_producer ? iox::popo::QueueFullPolicy::BLOCK_PRODUCER
                                               : iox::popo::QueueFullPolicy::DISCARD_OLDEST_DATA;
  return options;
}

}  // namespace

Route::Route(const core::IceoryxMapConfig& map, std::unique_ptr<LaneWriter> lane,
             MapCounters& counters)
    : map_(map),
      lane_(std::move(lane)),
      counters_(counters),
      subscriber_({id_of(map.service), id_of(map.instance), id_of(map.event)}, options_of(map)) {}

Route::~Route() {
  if (held_ == nullptr) return;
  counters_.add(counters_.rejected, 1);
  subscriber_.release(held_);
}

Route::Left Route::drain(std::size_t samples_max) {
  if (held_ != nullptr) {
    const void* const payload = std::exchange(held_, nullptr);
    if (!pass_on(payload)) return Left::kHeldUp;
  }
  for (std::size_t i = 0; i < samples_max; ++i) {
    auto taken = subscriber_.take();
    if (taken.has_error()) return Left::kNothing;
    const auto* const header = iox::mepoo::ChunkHeader::fromUserPayload(taken.value());
    const auto publisher = static_cast<std::uint64_t>(header->originId());
    const Arrival arrival = counters_.tracker.on_sample(publisher, header->sequenceNumber());
    counters_.add(counters_.taken, 1);
    counters_.add(counters_.unseen, arrival.unseen);
    counters_.publishers.store(counters_.tracker.publishers(), std::memory_order_relaxed);
    if (arrival.lost != 0) {
      counters_.add(counters_.lost, arrival.lost);
      say_loss(arrival.lost);
    }
    if (arrival.seen_before) {
      counters_.add(counters_.seen_before, 1);
      subscriber_.release(taken.value());
    } else if (!pass_on(taken.value())) {
      counters_.add(counters_.held_up, 1);
      return Left::kHeldUp;
    }
  }
  return Left::kMore;
}

bool Route::pass_on(const void* payload) {
  const auto* const header = iox::mepoo::ChunkHeader::fromUserPayload(payload);
  const std::span sample(static_cast<const std::byte*>(payload), header->userPayloadSize());
  if (map_.block_producer && !lane_->has_room(sample.size())) {
    held_ = payload;
    return false;
  }
  put(sample);
  subscriber_.release(payload);
  return true;
}

void Route::put(std::span<const std::byte> sample) {
  if (sample.empty()) return counters_.add(counters_.empty, 1);
  const Status status = lane_->put(sample);
  if (status == Status::kOk) return counters_.add(counters_.enqueued, 1);
  counters_.add(status == Status::kTooLarge ? counters_.too_large : counters_.rejected, 1);
}

void Route::say_loss(std::uint64_t lost) {
  loss_said_ += lost;
  const std::uint64_t now_ns = core::env::posix_env().boottime_ns();
  if (loss_said_at_ns_ != 0 && now_ns - loss_said_at_ns_ < kLossLineEveryNs) return;
  spdlog::warn(
      "{}: iceoryx dropped {} samples of {}/{}/{}, for they came faster than they were read: raise "
      "queue_capacity, or give the bridge more of a processor",
      map_.topic, loss_said_, map_.service, map_.instance, map_.event);
  loss_said_ = 0;
  loss_said_at_ns_ = now_ns;
}

bool Route::forgotten() const {
  const auto state = subscriber_.getSubscriptionState();
  return state == iox::SubscribeState::NOT_SUBSCRIBED ||
         state == iox::SubscribeState::UNSUBSCRIBE_REQUESTED;
}

}  // namespace spillway::agent::iceoryx
