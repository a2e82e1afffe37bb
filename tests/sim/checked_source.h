// CheckedSource: the real source of a stream, watched: what is acknowledged to it must have been
// committed. Some planted bugs are here, too.
#pragma once

#include <memory>
#include <optional>

#include "tests/sim/context.h"
#include "tests/sim/ledger.h"
#include "uplink/session/stream_source.h"

namespace spillway::sim {

class CheckedSource final : public uplink::BlockSource {
 public:
  CheckedSource(Context& context, Ledger& ledger, core::Uuid gateway,
                std::unique_ptr<uplink::StreamSource> inner)
      : context_(context), ledger_(ledger), gateway_(gateway), inner_(std::move(inner)) {}

  const std::string& name() const override { return inner_->name(); }
  core::Result<std::vector<core::JournalRange>> journals() override;
  core::Result<std::uint64_t> oldest_offset() override { return inner_->oldest_offset(); }
  core::Result<void> seek(std::uint64_t offset) override { return inner_->seek(offset); }
  void offer_stored(bool stored) override { inner_->offer_stored(stored); }
  const std::optional<core::CursorPosition>& cursor() const override { return inner_->cursor(); }
  core::Result<std::optional<core::StreamItem>> next() override;
  core::Result<void> acknowledge(const core::CursorPosition& position) override;
  core::Result<void> refuse(const uplink::Ack& ack) override { return inner_->refuse(ack); }

  [[nodiscard]] uplink::StreamSource& inner() { return *inner_; }
  /// The far end has everything below it, or nothing is there below it.
  [[nodiscard]] bool is_committed(const core::CursorPosition& position) const;

 private:
  Context& context_;
  Ledger& ledger_;
  core::Uuid gateway_;
  std::unique_ptr<uplink::StreamSource> inner_;
};

}  // namespace spillway::sim
