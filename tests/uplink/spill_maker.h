// Makes valid blocks and a BlockSource over them, in memory: a spill that a test can shape as it
// likes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/format.h"
#include "uplink/protocol/messages.h"
#include "uplink/session/block_source.h"

namespace spillway::uplink::test {

inline constexpr std::uint64_t kTickRate = 1'000'000'000;
inline constexpr std::uint64_t kBootUtcNs = 1'700'000'000'000'000'000;

[[nodiscard]] core::Uuid uuid_number(std::uint64_t number);

/// What record `offset` of a stream holds: it names itself, so that an oracle can tell it from
/// every other.
[[nodiscard]] std::string record_text(const std::string& stream, std::uint64_t offset);

struct OwnedBlock {
  format::BlockHeader header;
  Bytes stored;
  std::uint64_t salt = 0;
};

[[nodiscard]] OwnedBlock make_lane_block(std::uint64_t lane_id, const std::string& topic,
                                         std::uint64_t next_offset, std::uint64_t salt,
                                         bool closed = false, std::uint64_t schema_fingerprint = 0);
[[nodiscard]] OwnedBlock make_schema_block(std::span<const std::byte> bfbs,
                                           std::uint64_t next_offset, std::uint64_t salt);
[[nodiscard]] OwnedBlock make_clock_block(std::uint64_t next_offset, std::uint64_t salt);
[[nodiscard]] OwnedBlock make_data_block(const std::string& stream, std::uint64_t lane_id,
                                         std::uint64_t base, std::uint32_t count,
                                         std::uint64_t salt, std::uint64_t ticks = 0);
/// Sets the checksum anew, after a test has changed something.
void seal(OwnedBlock& block);
/// One Blocks message with these blocks, each in its own run.
[[nodiscard]] Bytes blocks_message(std::uint16_t stream, const core::Uuid& journal,
                                   const std::vector<OwnedBlock>& blocks);

/// A stream's spill in memory. Survives sessions; keeps the cursor.
class FakeSpill final : public BlockSource {
 public:
  explicit FakeSpill(std::string name, std::uint64_t seed = 1);

  // --- shaping ---
  void append(std::uint32_t records);
  /// A new segment: new salt, declarations anew.
  void roll();
  /// Power was lost: records from `offset` on are gone, and a new journal begins there.
  void new_journal_at(std::uint64_t offset);
  /// The machine is what it was at `offset` and does not know it: other records follow, in the same
  /// journal.
  void set_back_to(std::uint64_t offset);
  /// Segments below `offset` are freed.
  void free_below(std::uint64_t offset);
  /// Records [first, next) are missing, with this reason.
  void punch(std::uint64_t first, std::uint64_t next, format::GapReason reason);
  [[nodiscard]] std::uint64_t next_offset() const { return next_; }
  [[nodiscard]] const core::Uuid& newest_journal() const { return ranges_.back().journal; }
  const std::optional<core::CursorPosition>& cursor() const override { return cursor_; }
  /// Verdicts that came, and how many records the far end keeps.
  [[nodiscard]] const std::vector<Verdict>& verdicts() const { return verdicts_; }
  [[nodiscard]] std::uint64_t dead() const { return dead_; }
  /// As a full dead-letter file does.
  void keep_no_letters(bool full) { letters_full_ = full; }
  [[nodiscard]] bool cursor_went_back() const { return cursor_went_back_; }

  // --- BlockSource ---
  const std::string& name() const override { return name_; }
  core::Result<std::vector<core::JournalRange>> journals() override;
  core::Result<std::uint64_t> oldest_offset() override;
  core::Result<void> seek(std::uint64_t offset) override;
  void offer_stored(bool) override {}  // it has none that are compressed
  core::Result<std::optional<core::StreamItem>> next() override;
  core::Result<void> acknowledge(const core::CursorPosition& position) override;
  core::Result<void> refuse(const Ack& ack) override;

 private:
  struct Item {
    OwnedBlock block;
    std::size_t segment = 0;
    std::size_t journal = 0;
    std::optional<core::Gap> gap;
  };
  void declare();
  [[nodiscard]] core::StreamItem present(const Item& item) const;

  std::string name_;
  std::uint64_t seed_;
  std::vector<Item> items_;
  std::vector<core::JournalRange> ranges_;
  std::size_t segment_ = 0;
  std::uint64_t salt_ = 0;
  std::uint64_t ticks_ = 0;  // later than a machine that was not set back
  std::uint64_t next_ = 0;
  std::uint64_t oldest_ = 0;
  std::uint64_t skip_below_ = 0;
  std::size_t at_ = 0;
  std::optional<core::CursorPosition> cursor_;
  bool cursor_went_back_ = false;
  std::vector<Verdict> verdicts_;
  std::uint64_t dead_ = 0;
  bool letters_full_ = false;
};

}  // namespace spillway::uplink::test
