// StreamSource: the BlockSource over a stream's spill and this uplink's cursor in it.
//
// One thread.
//
// Invariants:
//  1. The cursor's file is locked from open() on: one uplink of a name at a time.
//  2. The cursor never goes back: (journal sequence, offset) only rises.
//  3. A record that the far end refused and does not keep is in the dead-letter file, power-safe,
//     before the cursor passes it.
//  4. A disk that takes no cursor keeps no record from being sent: where the far end stands, its
//     Welcome says. The cursor is kept in memory and written as soon as the disk takes it.
//  5. A look at a foreign stream into which nothing was stored makes no system call: there may be
//     thousands of them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "spillway/core/dead_letters.h"
#include "spillway/core/env/env.h"
#include "spillway/core/env/file_identity.h"
#include "spillway/core/relay_directory.h"
#include "uplink/session/block_source.h"

namespace spillway::uplink {

/// Failed deliveries: verdicts of the far end on single records, and nothing else.
struct Refused {
  std::uint64_t kept_there = 0;  // dead letters of the far end
  std::uint64_t kept_here = 0;   // in the file beside the cursor (spillway/core/dead_letters.h)
  std::string reason;            // the latest
};

class StreamSource final : public BlockSource {
 public:
  /// kNotFound: the agent has not made the stream yet. kBusy: another uplink of this name runs.
  [[nodiscard]] static core::Result<std::unique_ptr<StreamSource>> open(
      core::env::Env& env, const std::string& spill_dir, const std::string& stream,
      const std::string& uplink);

  /// The same of another gateway's stream in a relay's directory.
  [[nodiscard]] static core::Result<std::unique_ptr<StreamSource>> open_foreign(
      core::env::Env& env, const core::ForeignPlace& place, const std::string& uplink);

  const std::string& name() const override { return name_; }
  const Origin* origin() const override { return origin_ ? &*origin_ : nullptr; }
  core::Result<std::vector<core::JournalRange>> journals() override;
  core::Result<std::uint64_t> oldest_offset() override { return reader_->oldest_offset(); }
  core::Result<void> seek(std::uint64_t offset) override {
    dry_at_.reset();
    return reader_->seek(offset);
  }
  void offer_stored(bool stored) override { reader_->offer_stored(stored); }
  core::Result<void> seek_in(std::uint64_t journal_sequence, std::uint64_t offset) override {
    dry_at_.reset();
    return reader_->seek_in(journal_sequence, offset);
  }
  core::Result<std::optional<core::StreamItem>> next() override;
  const std::optional<core::CursorPosition>& cursor() const override { return position_; }
  core::Result<void> acknowledge(const core::CursorPosition& position) override;
  core::Result<void> refuse(const Ack& ack) override;

  /// Makes the cursor power-safe if it moved since the last time, or could not be written before;
  /// where the stream stands in memory alone, nothing is written.
  [[nodiscard]] core::Result<void> sync_cursor();
  /// The same, wherever the stream stands: for the clean end.
  [[nodiscard]] core::Result<void> settle_cursor();
  /// What far ends could not apply, since this was opened.
  [[nodiscard]] const Refused& refused() const { return refused_; }
  /// The cursor's file, or the agent's control page, is gone or another one: the spill was wiped or
  /// changed. Open it anew.
  [[nodiscard]] bool moved() const;
  /// What the agent says is in the spill.
  [[nodiscard]] std::optional<format::StreamControl> control() { return reader_->control(); }

 private:
  StreamSource(core::env::Env& env, std::string name, std::string directory, std::string uplink,
               std::unique_ptr<core::StreamReader> reader)
      : env_(env),
        name_(std::move(name)),
        directory_(std::move(directory)),
        uplink_(std::move(uplink)),
        reader_(std::move(reader)) {}
  /// The record and what its lane says of it, as a dead letter; one that is no longer held is an
  /// empty one.
  [[nodiscard]] core::Result<core::DeadLetter> letter_of(core::StreamReader& reader,
                                                         const core::Uuid& journal,
                                                         const Verdict& verdict) const;
  [[nodiscard]] core::Result<void> seek_record(core::StreamReader& reader,
                                               const core::Uuid& journal,
                                               std::uint64_t offset) const;
  /// What the control page says; a relay's writer changes it with whatever it stores.
  struct Published {
    std::uint64_t next_offset = 0;
    std::uint64_t appended_bytes = 0;
    std::uint64_t newest_segment = 0;
    std::uint32_t writer_pid = 0;
    bool operator==(const Published&) const = default;
  };

  [[nodiscard]] static core::Result<std::unique_ptr<StreamSource>> open_in(
      core::env::Env& env, const std::string& directory, const std::string& stream,
      const std::string& uplink);
  [[nodiscard]] std::optional<Published> published();
  [[nodiscard]] core::Result<void> open_cursor();
  [[nodiscard]] core::Result<void> adopt(const std::optional<core::CursorPosition>& found);
  [[nodiscard]] core::Result<void> write_cursor();
  [[nodiscard]] bool is_another(const std::string& path,
                                const std::optional<core::env::FileIdentity>& known) const;
  [[nodiscard]] std::string cursor_path() const { return directory_ + "/cursors/" + uplink_; }
  [[nodiscard]] std::string control_path() const { return directory_ + "/control"; }

  core::env::Env& env_;
  std::string name_;
  std::string directory_;
  std::string uplink_;
  std::unique_ptr<core::StreamReader> reader_;
  std::unique_ptr<core::Cursor> cursor_;  // null while the disk does not let it be opened
  std::optional<core::env::FileIdentity> cursor_file_;
  std::optional<core::env::FileIdentity> control_file_;
  std::optional<Origin> origin_;
  std::optional<Published> dry_at_;  // of a foreign stream: nothing to read before this changes
  std::optional<core::CursorPosition> position_;
  bool unwritten_ = false;
  Refused refused_;
};

}  // namespace spillway::uplink
