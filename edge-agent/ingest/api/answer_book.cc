#include "edge-agent/ingest/api/answer_book.h"

#include <utility>

namespace spillway::agent::api {

AnswerBook::Claim AnswerBook::claim(const std::string& key, std::uint64_t request,
                                    std::uint64_t waiter, Respond respond, std::uint64_t now_ns) {
  forget_old(now_ns);
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    Entry& entry = found->second;
    if (entry.request != request) return Claim::kOther;
    if (!entry.answered) {
      entry.waiters.push_back({waiter, std::move(respond)});
      return Claim::kWaiting;
    }
    respond(entry.answer);
    return Claim::kKnown;
  }
  if (entries_.size() == keys_max_) {
    if (order_.empty()) return Claim::kFull;
    entries_.erase(order_.front());
    order_.pop_front();
  }
  Entry entry;
  entry.request = request;
  entry.waiters.push_back({waiter, std::move(respond)});
  entries_.emplace(key, std::move(entry));
  return Claim::kFirst;
}

void AnswerBook::settle(const std::string& key, const Answer& answer, bool keep,
                        std::uint64_t now_ns) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const std::vector<Waiter> waiters = std::exchange(found->second.waiters, {});
  if (keep) {
    Entry& entry = found->second;
    entry.answered = true;
    entry.answer = answer;
    entry.answered_ns = now_ns;
    order_.push_back(key);
  } else {
    entries_.erase(found);
  }
  for (const Waiter& waiter : waiters) waiter.respond(answer);
}

void AnswerBook::forget_waiter(const std::string& key, std::uint64_t waiter) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  std::erase_if(found->second.waiters, [waiter](const Waiter& one) { return one.id == waiter; });
}

void AnswerBook::forget_old(std::uint64_t now_ns) {
  while (!order_.empty()) {
    const auto oldest = entries_.find(order_.front());
    if (oldest != entries_.end() && now_ns - oldest->second.answered_ns < keep_ns_) return;
    if (oldest != entries_.end()) entries_.erase(oldest);
    order_.pop_front();
  }
}

}  // namespace spillway::agent::api
