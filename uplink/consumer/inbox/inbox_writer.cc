#include "uplink/consumer/inbox/inbox_writer.h"

namespace spillway::consumer {

InboxWriter::InboxWriter(std::unique_ptr<Inbox> inbox)
    : inbox_(std::move(inbox)), thread_([this] { run(); }) {}

InboxWriter::~InboxWriter() { stop(); }

void InboxWriter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void InboxWriter::ask(PositionQuery query, OnPositions done) {
  {
    const std::lock_guard lock(mutex_);
    queue_.put(InboxQueue::Question{std::move(query), std::move(done)});
  }
  wake_.notify_one();
}

void InboxWriter::ask_marks(std::string source, OnMarks done) {
  {
    const std::lock_guard lock(mutex_);
    mark_questions_.push_back({std::move(source), std::move(done)});
  }
  wake_.notify_one();
}

void InboxWriter::apply(InboxBatch batch, OnApplied done) {
  queued_bytes_.fetch_add(InboxQueue::bytes_of(batch), std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    queue_.put(InboxQueue::Order{std::move(batch), std::move(done)});
  }
  wake_.notify_one();
}

void InboxWriter::wait(std::unique_lock<std::mutex>& lock) {
  const auto wanted = [this] { return stopping_ || has_work(); };
  if (inbox_->needs_upkeep()) {
    wake_.wait_for(lock, kUpkeepInterval, wanted);
  } else {
    wake_.wait(lock, wanted);
  }
}

bool InboxWriter::is_upkeep_due() {
  if (!inbox_->needs_upkeep()) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_upkeep_ < kUpkeepInterval) return false;
  last_upkeep_ = now;
  return true;
}

void InboxWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wait(lock);
    if (!has_work() && stopping_) return;
    if (is_upkeep_due()) {
      lock.unlock();
      inbox_->upkeep();
      lock.lock();
    }
    if (!has_work()) continue;
    const auto mark_questions = std::exchange(mark_questions_, {});
    auto questions = queue_.take_questions();
    auto orders = queue_.take_orders(kTransactionBytesMax, kTransactionRecordsMax);
    lock.unlock();
    for (const MarkQuestion& question : mark_questions) {
      question.done(inbox_->marks(question.source));
    }
    for (InboxQueue::Question& question : questions) answer(question);
    if (!orders.empty()) commit(orders);
    lock.lock();
  }
}

void InboxWriter::answer(InboxQueue::Question& question) {
  Positions positions;
  positions.reserve(question.query.keys.size());
  for (const InboxKey& key : question.query.keys) {
    auto position = inbox_->position(key);
    if (!position) {
      question.done(tl::unexpected(std::move(position).error()));
      return;
    }
    positions.push_back(*position);
  }
  question.done(std::move(positions));
}

void InboxWriter::commit(std::vector<InboxQueue::Order>& orders) {
  std::vector<InboxBatch> batches;
  batches.reserve(orders.size());
  for (InboxQueue::Order& order : orders) batches.push_back(std::move(order.batch));
  std::vector<core::Result<void>> outcomes;
  inbox_->commit(batches, outcomes);
  transactions_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    queued_bytes_.fetch_sub(InboxQueue::bytes_of(batches[i]), std::memory_order_relaxed);
    orders[i].done(std::move(batches[i]), std::move(outcomes[i]));
  }
}

}  // namespace spillway::consumer
