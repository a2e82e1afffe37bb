#include "uplink/sinks/rabbitmq/confirm_ledger.h"

#include <algorithm>
#include <functional>

namespace spillway::uplink {

using core::Result;

void ConfirmLedger::published(std::uint64_t ticket, std::string_view message_id,
                              std::uint64_t bytes) {
  messages_.push_back({ticket, std::hash<std::string_view>{}(message_id), bytes, false, false, {}});
  ++open_;
}

void ConfirmLedger::returned(std::string_view message_id, std::string reason) {
  const std::uint64_t hash = std::hash<std::string_view>{}(message_id);
  const auto found = std::find_if(messages_.begin(), messages_.end(), [&](const Message& message) {
    return message.id_hash == hash && !message.done && !message.returned;
  });
  if (found == messages_.end()) return;
  found->returned = true;
  found->reason = std::move(reason);
}

void ConfirmLedger::settle(Message& message, std::vector<SinkOutcome>& outcomes) {
  if (message.done) return;
  message.done = true;
  --open_;
  const auto kind = message.returned ? SinkOutcome::Kind::kRefused : SinkOutcome::Kind::kStored;
  outcomes.push_back({message.ticket, kind, std::move(message.reason)});
}

Result<void> ConfirmLedger::confirmed(std::uint64_t number, bool multiple,
                                      std::vector<SinkOutcome>& outcomes) {
  // 0 with `multiple` is: everything so far.
  if (number == 0 && multiple) number = first_ + messages_.size() - 1;
  if (number >= first_ + messages_.size() || number == 0) {
    return core::fail(core::ErrorCode::kProtocol, "it confirmed message " + std::to_string(number) +
                                                      ", which was never published");
  }
  if (number >= first_) {
    const auto last = static_cast<std::size_t>(number - first_);
    for (std::size_t i = multiple ? 0 : last; i <= last; ++i) settle(messages_[i], outcomes);
  }
  while (!messages_.empty() && messages_.front().done) {
    messages_.pop_front();
    ++first_;
  }
  return {};
}

std::uint64_t ConfirmLedger::smallest_above(std::uint64_t bytes) const {
  std::uint64_t smallest = 0;
  for (const Message& message : messages_) {
    if (message.done || message.bytes <= bytes) continue;
    smallest = smallest == 0 ? message.bytes : std::min(smallest, message.bytes);
  }
  return smallest;
}

void ConfirmLedger::clear() {
  messages_.clear();
  first_ = 1;
  open_ = 0;
}

}  // namespace spillway::uplink
