#include "uplink/session_pair.h"

#include <algorithm>

namespace spillway::uplink::test {

using consumer::InboxBatch;

SessionPair::SessionPair(UplinkSessionOptions options, std::span<BlockSource* const> sources,
                         consumer::Inbox& inbox, std::uint64_t consumer_window,
                         bool consumer_takes_zstd)
    : SessionPair(std::move(options), sources, inbox,
                  consumer::ConsumerSessionOptions{consumer_window, consumer_takes_zstd}) {}

SessionPair::SessionPair(UplinkSessionOptions options, std::span<BlockSource* const> sources,
                         consumer::Inbox& inbox, consumer::ConsumerSessionOptions consumer)
    : uplink_(std::move(options), sources), consumer_(std::move(consumer)), inbox_(inbox) {}

bool SessionPair::step() {
  ++steps_;
  if (!opened_) {
    opened_ = true;
    auto hello = uplink_.on_open(now_ns_);
    if (hello) to_consumer_.push_back(std::move(*hello));
    return hello.has_value();
  }
  return to_consumer() || commit(commits_held_) || to_uplink() || pull() || commit(0);
}

bool SessionPair::run() {
  constexpr int kStepsMax = 1'000'000;
  for (int i = 0; i < kStepsMax && step(); ++i) {
  }
  return uplink_.state() == UplinkState::kStreaming &&
         consumer_.state() == consumer::ConsumerState::kStreaming;
}

bool SessionPair::to_consumer() {
  if (to_consumer_.empty()) return false;
  auto message = std::make_shared<const Bytes>(std::move(to_consumer_.front()));
  to_consumer_.pop_front();
  sent_.push_back(*message);
  const auto outcome = consumer_.on_message(message, now_ns_);
  if (!outcome) error_ = outcome.error().message;
  if (auto query = consumer_.take_query()) {
    consumer::Positions positions;
    for (const auto& key : query->keys) positions.push_back(*inbox_.position(key));
    static_cast<void>(consumer_.on_positions(positions));
  }
  if (auto batch = consumer_.take_batch()) waiting_.push_back(std::move(*batch));
  collect_output();
  return true;
}

bool SessionPair::commit(std::size_t keep) {
  if (waiting_.size() <= keep) return false;
  const InboxBatch batch = std::move(waiting_.front());
  waiting_.pop_front();
  std::vector<core::Result<void>> outcomes;
  inbox_.commit({&batch, 1}, outcomes);
  if (outcomes[0]) {
    consumer_.on_committed(batch);
  } else {
    error_ = consumer_.on_failed(outcomes[0].error()).message;
  }
  collect_output();
  return true;
}

void SessionPair::collect_output() {
  while (auto message = consumer_.take_output()) to_uplink_.push_back(std::move(*message));
}

bool SessionPair::to_uplink() {
  if (to_uplink_.empty()) return false;
  const Bytes message = std::move(to_uplink_.front());
  answered_.push_back(message);
  to_uplink_.pop_front();
  const auto outcome = uplink_.on_message(message, now_ns_);
  if (!outcome) {
    error_ = outcome.error().message;
    if (uplink_.farewell()) to_consumer_.push_back(*uplink_.farewell());
  }
  return true;
}

bool SessionPair::pull() {
  auto message = uplink_.pull(now_ns_);
  if (!message) {
    error_ = message.error().message;
    return true;
  }
  if (!*message) return false;
  in_flight_max_ = std::max(in_flight_max_, uplink_.in_flight_bytes());
  to_consumer_.push_back(std::move(**message));
  return true;
}

}  // namespace spillway::uplink::test
