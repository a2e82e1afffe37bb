// InboxWriter: the one thread that touches the inbox. It takes everything that is queued, commits
// it in one transaction (group commit over all sessions), and then tells each session.
//
// Threads: ask(), apply(), queued_bytes() and stop() from any; the callbacks run on the writer's
// own thread and must only pass the answer on.
//
// Invariants:
//  1. What was queued first is looked up or applied first: a session's question sees all that was
//     queued before it.
//  2. The queue is bounded by its callers: they stop reading their peers while queued_bytes() is
//     above kQueueBytesMax.
//  3. A failed commit stops nothing here: the sessions are told, and the next batch is tried.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>

#include "spillway/core/atomic.h"
#include "uplink/consumer/inbox/inbox.h"
#include "uplink/consumer/session/consumer_session.h"

namespace spillway::consumer {

class InboxWriter {
 public:
  static constexpr std::size_t kQueueBytesMax = 64U << 20;
  static constexpr std::size_t kTransactionBytesMax = 8U << 20;

  using OnPositions = std::function<void(core::Result<Positions>)>;
  using OnApplied = std::function<void(InboxBatch, core::Result<void>)>;

  explicit InboxWriter(std::unique_ptr<Inbox> inbox);
  ~InboxWriter();
  InboxWriter(const InboxWriter&) = delete;
  InboxWriter& operator=(const InboxWriter&) = delete;

  void ask(PositionQuery query, OnPositions done);
  void apply(InboxBatch batch, OnApplied done);
  [[nodiscard]] std::size_t queued_bytes() const {
    return queued_bytes_.load(std::memory_order_relaxed);
  }
  /// Finishes what is queued and ends the thread.
  void stop();

 private:
  struct Question {
    PositionQuery query;
    OnPositions done;
  };
  struct Order {
    InboxBatch batch;
    OnApplied done;
  };
  using Request = std::variant<Question, Order>;

  void run();
  void put(Request request);
  void answer(Question& question);
  void commit(std::deque<Request>& requests);

  std::unique_ptr<Inbox> inbox_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Request> queue_;
  bool stopping_ = false;
  core::Atomic<std::size_t> queued_bytes_{0};
  std::thread thread_;  // last: it uses the others
};

}  // namespace spillway::consumer
