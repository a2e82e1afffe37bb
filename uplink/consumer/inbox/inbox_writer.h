// InboxWriter: the one thread that touches the inbox. It takes everything that is queued, commits
// it in one transaction (group commit over all sessions), and then tells each session.
//
// Threads: ask(), ask_marks(), apply(), queued_bytes(), transactions() and stop() from any; the callbacks run on the writer's
// own thread and must only pass the answer on.
//
// Invariants:
//  1. What a gateway queued first is looked up or applied first: a session's question sees all that
//     its gateway had queued before it (inbox_queue.h).
//  2. The queue is bounded by its callers: they stop reading their peers while queued_bytes() is
//     above kQueueBytesMax.
//  3. A failed commit stops nothing here: the sessions are told, and the next batch is tried.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "spillway/core/atomic.h"
#include "uplink/consumer/inbox/inbox_queue.h"

namespace spillway::consumer {

using OnMarks = std::function<void(core::Result<std::vector<InboxMark>>)>;

class InboxWriter {
 public:
  static constexpr std::size_t kQueueBytesMax = 64U << 20;
  // How long a transaction may take: whoever comes next waits for it. Beyond this the share of its
  // sync gains little.
  static constexpr std::size_t kTransactionBytesMax = 8U << 20;
  static constexpr std::size_t kTransactionRecordsMax = 16'384;

  explicit InboxWriter(std::unique_ptr<Inbox> inbox);
  ~InboxWriter();
  InboxWriter(const InboxWriter&) = delete;
  InboxWriter& operator=(const InboxWriter&) = delete;

  void ask(PositionQuery query, OnPositions done);
  /// Of a source, as the latest transaction left them.
  void ask_marks(std::string source, OnMarks done);
  void apply(InboxBatch batch, OnApplied done);
  [[nodiscard]] std::size_t queued_bytes() const {
    return queued_bytes_.load(std::memory_order_relaxed);
  }
  /// Since the start; each made many batches durable.
  [[nodiscard]] std::uint64_t transactions() const {
    return transactions_.load(std::memory_order_relaxed);
  }
  /// Finishes what is queued and ends the thread.
  void stop();

 private:
  static constexpr std::chrono::seconds kUpkeepInterval{1};

  struct MarkQuestion {
    std::string source;
    OnMarks done;
  };

  [[nodiscard]] bool has_work() const { return !queue_.empty() || !mark_questions_.empty(); }
  void run();
  void wait(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool is_upkeep_due();
  void answer(InboxQueue::Question& question);
  void commit(std::vector<InboxQueue::Order>& orders);

  std::unique_ptr<Inbox> inbox_;
  std::mutex mutex_;
  std::condition_variable wake_;
  InboxQueue queue_;
  std::vector<MarkQuestion> mark_questions_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point last_upkeep_{};
  core::Atomic<std::size_t> queued_bytes_{0};
  core::Atomic<std::uint64_t> transactions_{0};
  std::thread thread_;  // last: it uses the others
};

}  // namespace spillway::consumer
