#include "uplink/consumer/inbox/inbox_writer.h"

namespace spillway::consumer {

namespace {

std::size_t bytes_of(const InboxBatch& batch) {
  return batch.payload_bytes() + batch.records.size() * sizeof(InboxRecord);
}

}  // namespace

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

void InboxWriter::put(Request request) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto* order = std::get_if<Order>(&request)) {
      queued_bytes_.fetch_add(bytes_of(order->batch), std::memory_order_relaxed);
    }
    queue_.push_back(std::move(request));
  }
  wake_.notify_one();
}

void InboxWriter::ask(PositionQuery query, OnPositions done) {
  put(Question{std::move(query), std::move(done)});
}

void InboxWriter::apply(InboxBatch batch, OnApplied done) {
  put(Order{std::move(batch), std::move(done)});
}

void InboxWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::deque<Request> taken;
    std::size_t bytes = 0;
    // A question ends the group: it must see what was queued before it, and nothing it need not
    // wait for.
    while (!queue_.empty() && bytes < kTransactionBytesMax) {
      const auto* order = std::get_if<Order>(&queue_.front());
      if (order == nullptr && !taken.empty()) break;
      if (order != nullptr) bytes += bytes_of(order->batch);
      taken.push_back(std::move(queue_.front()));
      queue_.pop_front();
      if (order == nullptr) break;
    }
    lock.unlock();
    if (auto* question = std::get_if<Question>(&taken.front())) {
      answer(*question);
    } else {
      commit(taken);
    }
    taken.clear();
    lock.lock();
  }
}

void InboxWriter::answer(Question& question) {
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

void InboxWriter::commit(std::deque<Request>& requests) {
  std::vector<InboxBatch> batches;
  batches.reserve(requests.size());
  for (Request& request : requests) batches.push_back(std::move(std::get<Order>(request).batch));
  std::vector<core::Result<void>> outcomes;
  inbox_->commit(batches, outcomes);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    queued_bytes_.fetch_sub(bytes_of(batches[i]), std::memory_order_relaxed);
    std::get<Order>(requests[i]).done(std::move(batches[i]), std::move(outcomes[i]));
  }
}

}  // namespace spillway::consumer
