// InboxQueue: what waits for the inbox, and whose turn it is.
//
// Not thread-safe: InboxWriter holds its lock.
//
// Between gateways it is fair by bytes (start-time fair queueing: P. Goyal, H. Vin, H. Cheng, 1996):
// who has asked for little is served before who has asked for much, whatever waits; so one gateway's
// backlog does not hold up another's live data.
//
// Invariants:
//  1. What a gateway queued first is taken first.
//  2. A question is taken as soon as nothing that its gateways had queued before it is left, and does
//     not wait for the others'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/session/consumer_session.h"

namespace spillway::consumer {

using OnPositions = std::function<void(core::Result<Positions>)>;
using OnApplied = std::function<void(InboxBatch, core::Result<void>)>;

class InboxQueue {
 public:
  struct Question {
    PositionQuery query;
    OnPositions done;
  };
  struct Order {
    InboxBatch batch;
    OnApplied done;
  };

  void put(Question question);
  void put(Order order);
  [[nodiscard]] bool empty() const { return questions_.empty() && turns_.empty(); }
  /// Those that can be answered now, in the order they came.
  [[nodiscard]] std::vector<Question> take_questions();
  /// In their turn up to a limit, a quarter of `records_max` if several wait; at least one if any.
  [[nodiscard]] std::vector<Order> take_orders(std::size_t bytes_max, std::size_t records_max);

  /// What it holds in memory until it is committed.
  [[nodiscard]] static std::size_t bytes_of(const InboxBatch& batch) {
    return batch.payload_bytes() + batch.records.size() * sizeof(InboxRecord);
  }

 private:
  struct Line {
    std::deque<std::pair<std::uint64_t, Order>> orders;  // with the number under which each came
    std::uint64_t start = 0;                             // its turn: the lowest is next
  };

  [[nodiscard]] bool is_ready(const Question& question, std::uint64_t number) const;

  std::map<core::Uuid, Line> lines_;  // gateways with orders, and no others
  std::set<std::pair<std::uint64_t, core::Uuid>> turns_;
  std::deque<std::pair<std::uint64_t, Question>> questions_;
  std::uint64_t served_ = 0;  // the start of the order that was taken last
  std::uint64_t number_ = 0;
};

}  // namespace spillway::consumer
