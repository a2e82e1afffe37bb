// StreamSource: the BlockSource over a stream's spill and this uplink's cursor in it.
//
// One thread.
//
// Invariants:
//  1. The cursor's file is locked from open() on: one uplink of a name at a time.
//  2. The cursor never goes back: (journal sequence, offset) only rises.
#pragma once

#include <memory>
#include <string>

#include "spillway/core/env/env.h"
#include "uplink/session/block_source.h"

namespace spillway::uplink {

class StreamSource final : public BlockSource {
 public:
  /// kNotFound: the agent has not made the stream yet. kBusy: another uplink of this name runs.
  [[nodiscard]] static core::Result<std::unique_ptr<StreamSource>> open(
      core::env::Env& env, const std::string& spill_dir, const std::string& stream,
      const std::string& uplink);

  const std::string& name() const override { return name_; }
  core::Result<std::vector<core::JournalRange>> journals() override;
  core::Result<std::uint64_t> oldest_offset() override { return reader_->oldest_offset(); }
  core::Result<void> seek(std::uint64_t offset) override { return reader_->seek(offset); }
  void offer_stored(bool stored) override { reader_->offer_stored(stored); }
  core::Result<std::optional<core::StreamItem>> next() override { return reader_->next(); }
  core::Result<void> acknowledge(const core::CursorPosition& position) override;

  /// Makes the cursor power-safe if it moved since the last time; where the stream stands in memory
  /// alone, nothing is written.
  [[nodiscard]] core::Result<void> sync_cursor();
  /// The same, wherever the stream stands: for the clean end.
  [[nodiscard]] core::Result<void> settle_cursor();
  /// What the agent says is in the spill.
  [[nodiscard]] std::optional<format::StreamControl> control() { return reader_->control(); }

 private:
  StreamSource(std::string name, std::unique_ptr<core::Cursor> cursor,
               std::unique_ptr<core::StreamReader> reader)
      : name_(std::move(name)), cursor_(std::move(cursor)), reader_(std::move(reader)) {}

  std::string name_;
  std::unique_ptr<core::Cursor> cursor_;
  std::unique_ptr<core::StreamReader> reader_;
};

}  // namespace spillway::uplink
