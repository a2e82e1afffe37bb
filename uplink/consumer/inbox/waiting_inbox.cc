#include "uplink/consumer/inbox/waiting_inbox.h"

#include "spillway/core/log.h"

namespace spillway::consumer {

using core::Result;

bool WaitingInbox::is_open() {
  if (inbox_ != nullptr) return true;
  const auto now = std::chrono::steady_clock::now();
  if (now - tried_ < kTryEvery) return false;
  tried_ = now;
  auto opened = open_();
  if (!opened) {
    why_ = std::move(opened).error();
    return false;
  }
  inbox_ = std::move(*opened);
  spdlog::info("the inbox is open: records are taken again");
  return true;
}

Result<std::optional<StoredPosition>> WaitingInbox::position(const InboxKey& key) {
  if (!is_open()) return tl::unexpected(why_);
  return inbox_->position(key);
}

void WaitingInbox::commit(std::span<const InboxBatch> batches,
                          std::vector<Result<void>>& outcomes) {
  if (is_open()) return inbox_->commit(batches, outcomes);
  outcomes.assign(batches.size(), tl::unexpected(why_));
}

Result<std::vector<InboxMark>> WaitingInbox::marks(const std::string& source) {
  if (!is_open()) return tl::unexpected(why_);
  return inbox_->marks(source);
}

}  // namespace spillway::consumer
