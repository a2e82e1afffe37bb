#include "uplink/consumer/inbox/inbox_queue.h"

#include <algorithm>

namespace spillway::consumer {

namespace {

/// What an order costs the inbox besides its bytes, so that many small ones are no free ride.
constexpr std::uint64_t kOrderCost = 4096;

}  // namespace

void InboxQueue::put(Question question) { questions_.emplace_back(number_++, std::move(question)); }

void InboxQueue::put(Order order) {
  const core::Uuid gateway = order.batch.key.gateway;
  const auto [at, is_new] = lines_.try_emplace(gateway);
  Line& line = at->second;
  line.orders.emplace_back(number_++, std::move(order));
  if (!is_new) return;
  line.start = served_;
  turns_.emplace(line.start, gateway);
}

bool InboxQueue::is_ready(const Question& question, std::uint64_t number) const {
  return std::all_of(question.query.keys.begin(), question.query.keys.end(),
                     [&](const InboxKey& key) {
                       const auto line = lines_.find(key.gateway);
                       return line == lines_.end() || line->second.orders.front().first > number;
                     });
}

std::vector<InboxQueue::Question> InboxQueue::take_questions() {
  std::vector<Question> ready;
  for (auto at = questions_.begin(); at != questions_.end();) {
    if (is_ready(at->second, at->first)) {
      ready.push_back(std::move(at->second));
      at = questions_.erase(at);
    } else {
      ++at;
    }
  }
  return ready;
}

std::vector<InboxQueue::Order> InboxQueue::take_orders(std::size_t bytes_max,
                                                       std::size_t records_max) {
  std::vector<Order> taken;
  std::size_t bytes = 0;
  std::size_t records = 0;
  // Whoever comes next waits for this transaction: shorter ones, where others are likely to come.
  const std::size_t share =
      lines_.size() > 1 ? std::max<std::size_t>(1, records_max / 4) : records_max;
  while (!turns_.empty() && bytes < bytes_max && records < share) {
    const auto turn = turns_.begin();
    const core::Uuid gateway = turn->second;
    Line& line = lines_[gateway];
    turns_.erase(turn);
    Order order = std::move(line.orders.front().second);
    line.orders.pop_front();
    const std::size_t size = bytes_of(order.batch);
    bytes += size;
    records += order.batch.records.size();
    served_ = line.start;
    line.start += size + kOrderCost;
    if (line.orders.empty()) {
      lines_.erase(gateway);
    } else {
      turns_.emplace(line.start, gateway);
    }
    taken.push_back(std::move(order));
  }
  return taken;
}

}  // namespace spillway::consumer
