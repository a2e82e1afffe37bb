// WaitingInbox: an inbox that cannot be opened yet (its disk is full, or does not answer): it says so to
// each question and each batch, tries again, and is the inbox itself from then on.
//
// One thread, as every inbox.
//
// Invariants:
//  1. It is tried at most once in kTryEvery, and for ever.
//  2. Until it is open nothing is answered and nothing is committed.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "uplink/consumer/inbox/inbox.h"

namespace spillway::consumer {

class WaitingInbox final : public Inbox {
 public:
  static constexpr std::chrono::milliseconds kTryEvery{500};
  using Open = std::function<core::Result<std::unique_ptr<Inbox>>()>;

  WaitingInbox(Open open, core::Error why) : open_(std::move(open)), why_(std::move(why)) {}

  core::Result<std::optional<StoredPosition>> position(const InboxKey& key) override;
  void commit(std::span<const InboxBatch> batches,
              std::vector<core::Result<void>>& outcomes) override;
  core::Result<std::vector<InboxMark>> marks(const std::string& source) override;
  [[nodiscard]] bool needs_upkeep() const override {
    return inbox_ != nullptr && inbox_->needs_upkeep();
  }
  void upkeep() override { inbox_->upkeep(); }

 private:
  [[nodiscard]] bool is_open();

  Open open_;
  core::Error why_;
  std::unique_ptr<Inbox> inbox_;
  std::chrono::steady_clock::time_point tried_ = std::chrono::steady_clock::now();
};

}  // namespace spillway::consumer
