// Both ends of the native link, driven message by message with no I/O.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "uplink/consumer/session/consumer_session.h"
#include "uplink/session/uplink_session.h"

namespace spillway::uplink::test {

/// One connection. step() moves one thing; a connection that is dropped half-way is just destroyed.
class SessionPair {
 public:
  SessionPair(UplinkSessionOptions options, std::span<BlockSource* const> sources,
              consumer::Inbox& inbox, std::uint64_t consumer_window = 4ULL << 20,
              bool consumer_takes_zstd = true);
  /// With a consumer that is a relay, or takes others' streams.
  SessionPair(UplinkSessionOptions options, std::span<BlockSource* const> sources,
              consumer::Inbox& inbox, consumer::ConsumerSessionOptions consumer);

  /// False: nothing moved. Moves the first of: a message to the consumer, an inbox commit, a
  /// message to the uplink, a new message from the uplink.
  bool step();
  /// Until nothing moves; true if both ends are still streaming.
  bool run();

  UplinkSession& uplink() { return uplink_; }
  consumer::ConsumerSession& consumer() { return consumer_; }
  /// How many batches may wait before one is committed; more lets messages pile up unacknowledged.
  void hold_commits(std::size_t batches) { commits_held_ = batches; }
  [[nodiscard]] std::uint64_t in_flight_max() const { return in_flight_max_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const std::vector<Bytes>& sent() const { return sent_; }
  /// What the consumer sent.
  [[nodiscard]] const std::vector<Bytes>& answered() const { return answered_; }

 private:
  bool to_consumer();
  bool commit(std::size_t keep);
  bool to_uplink();
  bool pull();
  void collect_output();

  UplinkSession uplink_;
  consumer::ConsumerSession consumer_;
  consumer::Inbox& inbox_;
  std::deque<Bytes> to_consumer_;
  std::deque<Bytes> to_uplink_;
  std::deque<consumer::InboxBatch> waiting_;
  std::vector<Bytes> sent_;
  std::vector<Bytes> answered_;
  std::size_t commits_held_ = 0;
  std::uint64_t in_flight_max_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t now_ns_ = 1;
  bool opened_ = false;
  std::string error_;
};

}  // namespace spillway::uplink::test
