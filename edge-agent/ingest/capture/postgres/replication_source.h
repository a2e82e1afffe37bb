// ReplicationSource: a PostgreSQL database by logical replication, as a Source.
//
//                    no position saved, or one of an unfinished beginning, or asked for
//   open() --------------------------------------------------------------------------> new epoch:
//     |  a position is saved, and the slot is as it was                                 slot made
//     v                                                                                    |
//   kStreaming <------------------------(its last row is safe)--------------------- kSnapshot
//
// One thread. Invariants, with those of capture_run.h:
//  1. The server is told to forget only what is safe in the spill, and that it will be told so is saved
//     (synced) before: a slot that has moved further than that was moved by somebody else.
//  2. A slot that is gone, has lost its WAL, was moved by somebody else, or is another database's or an
//     older copy's, and a table that was not published all the time, or in part, is an error until a new
//     snapshot is asked for: what happened meanwhile cannot be known.
//  3. A beginning that was cut off (slot or snapshot) is begun anew, under another epoch.
#pragma once

#include "edge-agent/ingest/capture/postgres/pgoutput.h"
#include "edge-agent/ingest/capture/postgres/publication.h"
#include "edge-agent/ingest/capture/postgres/table_snapshot.h"
#include "edge-agent/ingest/capture/source.h"

namespace spillway::agent::capture {

class ReplicationSource final : public Source {
 public:
  explicit ReplicationSource(const core::CaptureConfig& capture);

  [[nodiscard]] core::Result<Opened> open(PositionFile& position) override;
  [[nodiscard]] core::Result<void> start(const Key& safe) override;
  [[nodiscard]] core::Result<void> fetch(Batch& batch, std::chrono::milliseconds wait) override;
  [[nodiscard]] core::Result<void> confirm(const Key& safe) override;
  [[nodiscard]] core::Result<void> keep_alive() override;
  void note(SavedPosition& position) override;
  [[nodiscard]] bool wants_note() const override;
  [[nodiscard]] std::string state() const override;

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] core::Result<void> install();
  [[nodiscard]] core::Result<std::string> identify();
  [[nodiscard]] tl::unexpected<core::Error> lost(const std::string& what) const;
  [[nodiscard]] core::Result<void> begin_anew(PositionFile& position);
  [[nodiscard]] core::Result<void> check_slot(const SavedPosition& saved);
  [[nodiscard]] core::Result<void> stream();
  [[nodiscard]] core::Result<void> look_around();
  [[nodiscard]] core::Result<std::size_t> take_message(Batch& batch);
  [[nodiscard]] core::Result<void> handle(std::span<const char> message, Batch& batch);
  [[nodiscard]] core::Result<void> wait_for_bytes(std::chrono::milliseconds wait);
  [[nodiscard]] core::Result<void> send_status();
  void add_commits();

  const core::CaptureConfig& capture_;
  std::optional<PgConnection> sql_;
  std::optional<PgConnection> replication_;
  std::unique_ptr<TableSnapshot> snapshot_;
  std::unique_ptr<PgOutput> output_;
  std::vector<CommitEnd> commits_;  // not yet confirmed, ascending
  std::string identity_;
  Phase phase_ = Phase::kNew;
  bool snapshot_offered_ = false;    // all of it
  std::uint64_t noted_lsn_ = 0;      // saved: the server may forget what is before it
  std::uint64_t confirmed_lsn_ = 0;  // and was told so
  std::uint64_t idle_lsn_ = 0;       // nothing of ours stands before it that was not confirmed
  std::uint64_t received_lsn_ = 0;
  Clock::time_point status_sent_;
  Clock::time_point noted_at_;
  Clock::time_point looked_around_;
};

}  // namespace spillway::agent::capture
