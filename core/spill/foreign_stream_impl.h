// ForeignStreamImpl: a foreign stream's writing half, in one class and three files by subject:
//   foreign_open.cc       recovery
//   foreign_append.cc     blocks, journals, the next segment, sync
//   foreign_retention.cc  quota, age and cursors
// Private to core/spill; one thread.
#pragma once

#include "core/spill/control_page.h"
#include "core/spill/foreign_declarations.h"
#include "core/spill/foreign_journals.h"
#include "core/spill/paths.h"
#include "core/spill/segment_writer.h"
#include "spillway/core/foreign_stream.h"
#include "spillway/core/gap_table.h"

namespace spillway::core {

inline constexpr const char* kJournalsName = "journals";
inline constexpr const char* kDropName = "drop.spill";

class ForeignStreamImpl final : public ForeignStream {
 public:
  ForeignStreamImpl(env::Env& env, ForeignOptions options)
      : env_(env),
        options_(std::move(options)),
        ended_(env, path_of(kJournalsName)),
        segment_bytes_(kForeignSegmentBytesMin) {}

  /// Once, first.
  [[nodiscard]] Result<void> start();

  std::optional<std::uint64_t> position(const Uuid& journal) const override;
  void begin_session() override { declarations_.begin_session(); }
  Result<void> append(const ForeignJournal& journal, const format::BlockHeader& header,
                      std::span<const std::byte> stored) override;
  Result<void> append_gap(const ForeignJournal& journal, std::uint64_t next_offset,
                          format::GapReason reason) override;
  Result<void> sync() override;
  Result<void> collect() override;
  Result<bool> drop_oldest(format::GapReason reason) override;
  std::uint64_t held_bytes() const override { return held_bytes_; }
  std::uint64_t next_offset() const override { return next_offset_; }
  std::uint64_t dropped_records() const override { return dropped_records_; }
  const std::string& damage() const override { return damage_; }

 private:
  // foreign_open.cc
  Result<void> check_options() const;
  Result<void> take_lock();
  Result<void> list();
  Result<void> set_unreadable_aside();
  Result<void> recover_last();
  Result<void> load_journals();
  Result<void> go_on(std::uint64_t tail, bool sealed);
  Result<void> write_again(std::uint64_t from);
  void publish();

  // foreign_append.cc
  Result<void> enter(const ForeignJournal& journal);
  Result<void> append_data(const format::BlockHeader& header, std::span<const std::byte> stored);
  Result<void> make_block_room(std::uint64_t bytes);
  Result<void> write(format::BlockHeader header, std::span<const std::byte> stored);
  void advance(std::uint64_t next_offset);
  Result<void> roll(std::uint64_t bytes);
  [[nodiscard]] std::uint64_t next_segment_bytes(std::uint64_t bytes);
  format::SegmentHeader make_header(std::uint64_t bytes);
  Result<void> make_file(const std::string& path, std::uint64_t bytes);
  Result<void> begin_segment(const std::string& path, std::uint64_t bytes);

  // foreign_retention.cc
  Result<void> make_room(std::uint64_t bytes);
  Result<void> free_acknowledged();
  Result<bool> is_acknowledged(const std::string& uplink);
  Result<void> drop_aged();
  Result<std::vector<Gap>> pieces_of(const SegmentInfo& info, format::GapReason reason);
  Result<void> put_in_place(SegmentInfo& info, const std::vector<Gap>& pieces);
  Result<void> remove_segment(std::size_t index);
  [[nodiscard]] std::uint64_t elapsed_ns() const;
  [[nodiscard]] Error full() const;

  [[nodiscard]] std::string path_of(const std::string& name) const {
    return join(options_.directory, name);
  }
  [[nodiscard]] std::string what() const {
    return "stream " + options_.stream + " of gateway " + options_.gateway.text() + ": ";
  }

  env::Env& env_;
  ForeignOptions options_;
  std::unique_ptr<env::File> lock_;
  std::unique_ptr<ControlPage> control_;
  ForeignDeclarations declarations_;
  ForeignJournals ended_;
  std::optional<ForeignJournal> journal_;  // the newest; its sequence is the relay's own
  std::uint64_t next_offset_ = 0;
  std::vector<SegmentInfo> segments_;      // ascending; inspected where needed
  std::shared_ptr<SegmentWriter> active_;  // of the last segment; null: a new one begins
  std::uint64_t segment_bytes_;            // of the next one, if it need not be larger
  std::uint64_t next_sequence_ = 0;
  std::uint64_t held_bytes_ = 0;
  std::int64_t elapsed_offset_ns_ = 0;  // the stream's own time, less BOOTTIME
  std::uint64_t dropped_records_ = 0;
  bool unsynced_ = false;
  bool within_quota_ = true;  // false: what is written again stands there already
  std::string damage_;
};

}  // namespace spillway::core
