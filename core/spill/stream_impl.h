// StreamImpl: a stream's writing half, in one class and seven files by subject:
//   stream_open.cc       options, recovery, the first segment, close
//   stream_append.cc     lanes, append, clock blocks, schemas
//   stream_codec.cc      compressed blocks and their dictionaries
//   stream_roll.cc       the next segment: its file, its header, its first blocks; the spare
//   stream_sync.cc       group commit; what happens after a sync that failed
//   stream_retention.cc  quota and cursors
//   stream_limits.cc     age and reserve; how far the levels lag
//   stream_placement.cc  memory and disk: where the next segment goes, and the moves
// Private to core/spill; the drain thread only.
#pragma once

#include <deque>
#include <memory>

#include "core/codec/compressor.h"
#include "core/codec/dictionary_plan.h"
#include "core/spill/backlog_age.h"
#include "core/spill/control_page.h"
#include "core/spill/lane_table.h"
#include "core/spill/paths.h"
#include "core/spill/recovery.h"
#include "core/spill/schema_table.h"
#include "core/spill/segment_writer.h"
#include "core/spill/stream_age.h"
#include "spillway/core/cursor.h"
#include "spillway/core/stream.h"

namespace spillway::core {

class StreamImpl final : public Stream {
 public:
  StreamImpl(env::Env& env, StreamOptions options) : env_(env), options_(std::move(options)) {}

  /// Once, first.
  [[nodiscard]] Result<void> start();

  Result<void> declare_lane(const format::LaneIdentity& identity, std::uint64_t lane_end,
                            std::uint64_t rejected, bool closed) override;
  void forget_lane(std::uint64_t lane_id) override;
  const std::vector<LanePosition>& lanes() const override { return lanes_.all(); }
  Result<void> add_schema(std::uint64_t fingerprint, std::span<const std::byte> bfbs) override;
  bool has_schema(std::uint64_t fingerprint) const override {
    return schemas_.contains(fingerprint);
  }
  std::uint64_t schemas_left_out() const override { return schemas_left_out_; }
  Result<Appended> append(const FrameRun& run) override;
  Result<void> append_clock() override;
  std::uint64_t run_bytes_max() const override;
  std::optional<SyncPlan> plan_sync() override;
  bool sync_is_urgent() const override { return unsynced_.size() > 1 && !sync_; }
  Result<void> finish_sync(const SyncPlan& plan, const Result<void>& outcome) override;
  std::optional<SpareOrder> order_spare() override;
  void finish_spare(const SpareOrder& order, const Result<void>& outcome) override;
  bool compresses() const override;
  std::optional<TrainingOrder> order_training() override;
  void finish_training(const TrainingOrder& order, const Result<void>& outcome) override;
  const CompressionTotals& compression() const override { return totals_; }
  Result<void> ask_power_safe() override;
  bool waits_for_move() const override;
  std::optional<MoveOrder> order_move() override;
  Result<void> finish_move(const MoveOrder& order, const Result<void>& outcome) override;
  PlaceInForce place() const override;
  std::uint64_t memory_bytes() const override;
  Result<void> collect() override;
  std::uint64_t oldest_offset() const override;
  std::uint64_t next_offset() const override { return next_offset_; }
  std::uint64_t durable_offset() const override;
  std::uint64_t held_bytes() const override;
  std::uint64_t age_ns(std::uint64_t offset) override;
  Result<std::uint64_t> delivered_offset(const std::string& uplink) override;
  const Uuid& journal() const override { return journal_.id; }
  const Recovery& recovery() const override { return recovery_; }
  const GapTable& gaps() const override { return *gaps_; }
  const StreamOptions& options() const override { return options_; }
  const StreamFaults& faults() const override { return faults_; }
  Result<void> check_ground() const override;
  Result<void> close() override;

 private:
  enum class Spare : std::uint8_t {
    kNone,
    kBeingMade,
    kCold,  // recycled, and perhaps no longer in memory: to be warmed, but good as it is
    kReady,
  };

  /// What room is wanted for: records must leave the reserve alone (invariant 10 of Stream).
  enum class Use : std::uint8_t { kRecords, kBeginning };

  struct Journal {
    Uuid id;
    std::uint64_t sequence = 0;
    std::uint64_t first_offset = 0;
  };

  /// A part of the stream that is not known to be power-safe: of `segment`, what stands at
  /// `position` and behind.
  struct Unsynced {
    std::shared_ptr<SegmentWriter> segment;
    std::uint64_t position = 0;
    std::uint64_t offset = 0;  // of the first record there
    bool name_is_safe = false;
  };

  /// A lane that was forgotten while records of it may not be power-safe yet: should they have to be
  /// written again, it is declared once more.
  struct Departed {
    LanePosition lane;
    std::uint64_t next_offset = 0;
  };

  struct SyncUnderWay {
    std::uint64_t generation = 0;
    std::shared_ptr<SegmentWriter> segment;
    std::uint64_t position = 0;  // everything before it is covered
    std::uint64_t offset = 0;
  };

  // stream_open.cc
  Result<void> check_options() const;
  Result<void> open_files();
  Result<void> settle_spare();
  Result<void> go_on(const FoundStream& found, const JournalDecision& decision);
  Result<void> begin_new_journal(const FoundStream& found, const JournalDecision& decision);
  Result<void> renew_control();
  Result<void> sync_last_segments();
  Result<void> gather_unsynced(std::uint64_t durable);
  void start_age(const FoundStream& found);
  void renew_clock(const format::ClockReading& told);
  void publish_all();
  Result<void> check_control_on_disk() const;

  // stream_append.cc
  [[nodiscard]] static format::BlockHeader header_of(format::BlockKind kind,
                                                     std::uint64_t base_offset);
  Result<void> make_room(std::uint64_t stored_bytes);
  Result<void> write_lane(SegmentWriter& segment, const LanePosition& lane,
                          std::uint64_t base_offset);
  Result<void> write_clock(SegmentWriter& segment, std::uint64_t base_offset);
  Result<void> write_schema(SegmentWriter& segment, std::span<const std::byte> bfbs,
                            std::uint64_t base_offset);
  void make_head_room(std::uint64_t bytes);
  /// Writes what was staged as the run's block; it is process-safe then.
  Result<Appended> publish(const FrameRun& run, LanePosition& lane, format::BlockHeader& header);

  // stream_codec.cc
  void start_codec(const FoundStream& found);
  Result<Appended> append_compressed(const FrameRun& run, LanePosition& lane);
  [[nodiscard]] const Dictionary* dictionary() const;
  [[nodiscard]] bool dictionary_stands() const;
  Result<bool> bring_dictionary(std::uint64_t stored_bytes);
  Result<void> write_dictionary(SegmentWriter& segment,
                                const std::shared_ptr<const Dictionary>& written,
                                std::uint64_t base_offset);
  void learn_dictionary(std::span<const std::byte> bytes);
  Result<void> write_live_dictionaries(SegmentWriter& segment, std::uint64_t base_offset);
  [[nodiscard]] std::uint64_t live_dictionary_bytes() const;

  // stream_roll.cc
  [[nodiscard]] std::uint64_t lanes_head_bytes() const;
  [[nodiscard]] std::uint64_t head_bytes() const;
  [[nodiscard]] std::uint64_t head_bytes_max() const;
  Result<void> roll();
  Result<void> roll_into(const std::string& path);
  Result<std::string> prepare_file(std::uint64_t bytes, bool in_memory, Use use = Use::kRecords);
  Result<void> discard_spare();
  void note_disk_full(bool full);
  format::SegmentHeader make_header(std::uint64_t base_offset, std::uint64_t bytes, bool recycled);
  Result<SegmentInfo> write_header(const std::string& path, std::uint64_t base_offset,
                                   std::uint64_t bytes);
  Result<void> name_segment(SegmentInfo& info);
  /// The same; the name is power-safe when it returns.
  Result<void> name_segment_safely(SegmentInfo& info);
  Result<void> write_head(SegmentWriter& segment, std::uint64_t base_offset);
  Result<void> write_departed(SegmentWriter& segment, std::uint64_t base_offset);
  Result<void> begin_segment(const SegmentInfo& info);
  Result<void> begin_named_segment(const SegmentInfo& info);
  Result<void> begin_journal_segment(const std::string& path, JournalReason reason);
  void adopt(std::shared_ptr<SegmentWriter> segment);

  // stream_sync.cc
  Result<void> sync_earlier_segments();
  Result<void> sync_failed(const Error& error);
  [[nodiscard]] tl::unexpected<Error> failed() const;
  Result<void> rewrite_unsynced();
  struct Rewritten;
  Result<Rewritten> copy_unsynced(const std::string& path, std::uint64_t bytes);
  Result<void> begin_after_loss(std::uint64_t lost_from);
  void note_durable();

  // stream_retention.cc
  Result<void> make_disk_room(std::uint64_t bytes, bool in_memory, Use use);
  Result<void> free_acknowledged();
  Result<bool> give_back(bool in_memory);
  Result<void> drop_oldest(format::GapReason reason);
  [[nodiscard]] bool oldest_is_moving() const {
    return move_ && *move_ == segments_.front().sequence;
  }
  Result<void> remove_oldest();
  Result<void> enforce_age();
  Result<void> roll_by_age();
  Result<bool> oldest_is_aged();
  [[nodiscard]] bool waits_for_sync(const SegmentInfo& info) const;
  [[nodiscard]] std::uint64_t segment_bytes_held() const;
  [[nodiscard]] bool keeps_reserve(std::uint64_t bytes) const;
  Result<void> leave_reserve();
  void note_reserve() { reserve_is_used_ = !keeps_reserve(0); }
  [[nodiscard]] Error full() const;
  Result<bool> is_of_this_stream(const CursorPosition& position);
  Result<std::optional<CursorPosition>> cursor_at(const std::string& path);
  Result<bool> is_acknowledged(const std::string& uplink, std::size_t index);
  [[nodiscard]] bool may_drop_oldest() const;
  [[nodiscard]] bool may_recycle(const SegmentInfo& info) const;
  [[nodiscard]] bool has_spare() const { return spare_ == Spare::kCold || spare_ == Spare::kReady; }
  [[nodiscard]] bool has_spare(std::uint64_t bytes, bool in_memory) const {
    return has_spare() && bytes == options_.segment_bytes && spare_in_memory_ == in_memory;
  }

  // stream_placement.cc
  Result<void> open_memory();
  Result<void> remove_moved_copies();
  Result<void> place_control();
  Result<void> retire_memory();
  Result<void> settle_memory();
  Result<void> settle_placement(bool goes_on);
  Result<std::string> prepare_next(Use use = Use::kRecords);
  Result<void> leave_memory();
  Result<void> return_to_memory();
  Result<void> keep_placement();
  Result<void> move_all();
  Result<void> anchor_at(std::uint64_t base_offset);
  [[nodiscard]] std::vector<std::byte> anchor_bytes(std::uint64_t base_offset);
  void forget_overridden_memory();
  [[nodiscard]] const SegmentInfo* first_in_memory() const;
  [[nodiscard]] bool memory_comes_first() const;
  [[nodiscard]] Result<std::uint64_t> acknowledged_offset();
  [[nodiscard]] Result<std::optional<CursorPosition>> newest_cursor(const std::string& uplink);
  [[nodiscard]] bool memory_first() const { return options_.placement == Placement::kMemoryFirst; }
  [[nodiscard]] bool is_active_in_memory() const { return active_->info().in_memory; }

  [[nodiscard]] std::string path_of(const std::string& name, bool in_memory = false) const {
    return join(in_memory ? memory_ : options_.directory, name);
  }
  [[nodiscard]] std::string spare_path() const { return path_of(kSpareName, spare_in_memory_); }
  [[nodiscard]] std::string what() const { return "stream \"" + options_.name + "\": "; }

  env::Env& env_;
  StreamOptions options_;
  std::unique_ptr<env::File> lock_;
  std::unique_ptr<GapTable> gaps_;
  std::unique_ptr<ControlPage> control_;
  std::unique_ptr<ControlPage> disk_control_;  // of a stream that keeps the living one in memory
  std::unique_ptr<JournalFile> page_;
  LaneTable lanes_;
  std::vector<Departed> departed_;
  SchemaTable schemas_;  // beside the lanes they fit into a segment's head
  std::uint64_t schemas_left_out_ = 0;
  std::vector<SegmentInfo>
      segments_;  // ascending; the last is the active one, once there is one; inspected where needed
  std::shared_ptr<SegmentWriter> active_;
  BlockDraft draft_;
  std::deque<Unsynced> unsynced_;  // never empty once started; the last is the active segment's
  std::optional<SyncUnderWay> sync_;
  std::uint64_t sync_generation_ = 0;
  Spare spare_ = Spare::kNone;
  bool spare_in_memory_ = false;
  bool spare_order_is_out_ = false;
  std::optional<std::uint64_t>
      warmed_sequence_;                 // the oldest segment that was ordered to be warmed
  std::string memory_;                  // the stream's directory in memory; empty: it has none
  bool to_disk_ = true;                 // where the next segment goes
  bool moving_ = false;                 // segments in memory may wait for their move
  std::optional<std::uint64_t> move_;   // the segment whose move was ordered ...
  std::optional<std::uint64_t> tried_;  // ... and the last one that was, ever
  std::uint64_t move_retry_at_ns_ = 0;
  std::uint64_t leave_retry_at_ns_ = 0;
  std::uint64_t return_at_ns_ = 0;              // not to memory before
  std::optional<std::uint64_t> anchor_offset_;  // of the anchor that stands on the disk
  std::optional<BacklogAge> backlog_;
  Journal journal_;
  StreamAge age_;
  bool reserve_is_used_ = false;  // and so nothing is written into the active segment ...
  bool head_is_owed_ = false;     // ... which lacks what was declared meanwhile
  std::uint64_t next_offset_ = 0;
  std::uint64_t next_sequence_ = 0;
  std::unique_ptr<Compressor> compressor_;  // none if the stream never compresses
  std::unique_ptr<DictionaryPlan> dictionary_plan_;
  /// Those that what is not power-safe may need, should it have to be written again; the last is in
  /// use.
  std::vector<std::shared_ptr<const Dictionary>> dictionaries_;
  std::uint64_t dictionary_offset_ = 0;      // from here on only the last one is used
  std::uint64_t dictionary_segment_ = 0;     // the newest segment into which one was written ...
  std::size_t dictionaries_in_segment_ = 0;  // ... how many, at most ...
  std::shared_ptr<const Dictionary> standing_dictionary_;  // ... and the last of them
  CompressionTotals totals_;
  StreamFaults faults_;  // its `failure` says why the stream has failed
  Recovery recovery_;
};

}  // namespace spillway::core
