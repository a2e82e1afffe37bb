#include "edge-agent/ingest/capture/postgres/replication_source.h"

#include <poll.h>

#include <algorithm>
#include <array>

#include "edge-agent/ingest/capture/epoch.h"
#include "edge-agent/ingest/capture/resnapshot.h"
#include "spillway/core/format.h"
#include "spillway/core/log.h"
#include "spillway/core/step.h"

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

constexpr std::chrono::seconds kStatusEvery{5};
constexpr std::chrono::seconds kLookEvery{5};
constexpr std::chrono::seconds kIdleNoteEvery{10};
constexpr std::int64_t kEpochUs = 946'684'800'000'000;  // 2000, since 1970

template <typename T>
void append_wire(std::string& out, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xFFU);
  }
}

std::uint64_t read_wire(std::span<const char> bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[at + i]);
  }
  return value;
}

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
             .count() -
         kEpochUs;
}

}  // namespace

ReplicationSource::ReplicationSource(const core::CaptureConfig& capture) : capture_(capture) {}

Result<Opened> ReplicationSource::open(PositionFile& position) {
  snapshot_.reset();
  replication_.reset();
  sql_.reset();
  commits_.clear();
  snapshot_offered_ = false;
  SPILLWAY_TRY(sql, PgConnection::open(capture_, false));
  sql_ = std::move(sql);
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  const auto& saved = position.saved();
  const bool goes_on = saved && saved->phase == Phase::kStreaming && !wanted;
  if (goes_on) {
    identity_ = saved->source_identity;
    SPILLWAY_CHECKED(check_slot(*saved));
    SPILLWAY_CHECKED(look_around());
    phase_ = Phase::kStreaming;
  } else {
    SPILLWAY_CHECKED(begin_anew(position));
    if (wanted) SPILLWAY_CHECKED(end_resnapshot_request(capture_));
  }
  noted_lsn_ = confirmed_lsn_ = idle_lsn_ = position.saved()->source_position;
  return Opened{position.saved()->epoch, {}};
}

/// The server, the database, and the tables' places in the publication.
Result<std::string> ReplicationSource::identify() {
  SPILLWAY_TRY(rows, sql_->run("SELECT system_identifier::text, current_database() FROM "
                               "pg_control_system()"));
  SPILLWAY_TRY(entries, publication_entries(*sql_, capture_));
  const std::uint64_t tables = core::content_checksum(std::as_bytes(std::span(entries)));
  return std::string(PQgetvalue(rows.get(), 0, 0)) + "/" + PQgetvalue(rows.get(), 0, 1) + "/" +
         std::to_string(tables);
}

Result<void> ReplicationSource::install() {
  SPILLWAY_TRY(statements, publication_sql(*sql_, capture_));
  if (!statements.empty() && !capture_.install) {
    return core::fail(ErrorCode::kNotFound, "the publication " + slot_name(capture_) +
                                                " is not as it should be: run spillway-capture "
                                                "setup, or set install = true");
  }
  for (const std::string& statement : statements) SPILLWAY_CHECKED(sql_->run(statement));
  return {};
}

Result<void> ReplicationSource::begin_anew(PositionFile& position) {
  SPILLWAY_TRY(slot, find_slot(*sql_, capture_));
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  if (slot && !position.saved() && !wanted) {
    return core::fail(ErrorCode::kInvalidArgument,
                      "slot " + slot_name(capture_) +
                          " is there already, and how far it was taken is not known here: is it "
                          "another gateway's? If not, run spillway-capture resnapshot " +
                          capture_.name);
  }
  SavedPosition fresh;
  fresh.epoch = random_epoch();
  fresh.phase = Phase::kMaking;
  SPILLWAY_CHECKED(position.store(fresh, true));
  SPILLWAY_STEP("capture.slot_intended");
  SPILLWAY_CHECKED(install());
  SPILLWAY_CHECKED(drop_slot(*sql_, capture_));
  SPILLWAY_TRY(replication, PgConnection::open(capture_, true));
  SPILLWAY_TRY(
      made, replication.run("CREATE_REPLICATION_SLOT " + replication.quoted(slot_name(capture_)) +
                            " LOGICAL pgoutput EXPORT_SNAPSHOT"));
  SPILLWAY_STEP("capture.slot_made");
  const std::uint64_t consistent = parse_lsn(PQgetvalue(made.get(), 0, 1));
  const std::string exported = PQgetvalue(made.get(), 0, 2);
  SPILLWAY_TRY(identity, identify());
  fresh.source_identity = identity_ = identity;
  fresh.source_position = consistent;
  fresh.phase = capture_.snapshot ? Phase::kSnapshot : Phase::kStreaming;
  if (capture_.snapshot) {
    SPILLWAY_TRY(rows, PgConnection::open(capture_, false));
    // Below every commit that will come: those have LSNs from `consistent` on.
    SPILLWAY_TRY(snapshot,
                 TableSnapshot::begin(std::move(rows), capture_, exported, consistent - 1));
    snapshot_ = std::move(snapshot);
  }
  SPILLWAY_CHECKED(position.store(fresh, true));
  phase_ = fresh.phase;
  spdlog::info("{}: slot {} was made at {}, epoch {:016x}", capture_.name, slot_name(capture_),
               text_of_lsn(consistent), fresh.epoch);
  return {};
}

tl::unexpected<core::Error> ReplicationSource::lost(const std::string& what) const {
  return core::fail(ErrorCode::kRefused, what +
                                             ": which changes were lost cannot be known. Run "
                                             "spillway-capture resnapshot " +
                                             capture_.name + " to have all rows brought again");
}

/// Invariant 2.
Result<void> ReplicationSource::check_slot(const SavedPosition& saved) {
  SPILLWAY_TRY(slot, find_slot(*sql_, capture_));
  const std::string name = "the replication slot " + slot_name(capture_);
  if (!slot) return lost(name + " is gone");
  if (slot->wal_status == "lost") {
    return lost(name + " has lost the WAL that it had to keep (max_slot_wal_keep_size)");
  }
  if (slot->confirmed_lsn > saved.source_position) {
    return lost(name + " was moved to " + text_of_lsn(slot->confirmed_lsn) +
                " by somebody else; this gateway has got to " + text_of_lsn(saved.source_position));
  }
  // Commits that came again under numbers that were there already would be taken for the old ones.
  SPILLWAY_TRY(rows, sql_->run("SELECT pg_current_wal_flush_lsn()"));
  const std::uint64_t end = parse_lsn(PQgetvalue(rows.get(), 0, 0));
  const std::uint64_t taken = std::max(saved.source_position, saved.safe.position);
  if (end < taken) {
    return lost("the database ends at " + text_of_lsn(end) + ", and was captured up to " +
                text_of_lsn(taken) + ": an older copy was put back");
  }
  return {};
}

/// Nobody would tell of a table that was made anew, nor of one that is published in part.
Result<void> ReplicationSource::look_around() {
  looked_around_ = Clock::now();
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  if (wanted) return core::fail(ErrorCode::kUnavailable, "a new snapshot was asked for");
  SPILLWAY_TRY(statements, publication_sql(*sql_, capture_));
  const bool unpublished = std::any_of(
      statements.begin(), statements.end(),
      [](const std::string& sql) { return sql.find("PUBLICATION") != std::string::npos; });
  if (unpublished) {
    return lost("a table is not in publication " + slot_name(capture_) +
                " any more, or not with all its changes (was it made anew?)");
  }
  SPILLWAY_TRY(identity, identify());
  if (identity == identity_) return {};
  return lost(
      "this is another database than the one that was captured, or one of its tables was "
      "made anew, or published anew, or `tables` has changed");
}

Result<void> ReplicationSource::start(const Key& safe) {
  static_cast<void>(safe);  // the slot knows where to begin; what was put already is passed over
  return phase_ == Phase::kStreaming ? stream() : Result<void>{};
}

Result<void> ReplicationSource::stream() {
  SPILLWAY_TRY(replication, PgConnection::open(capture_, true));
  replication_ = std::move(replication);
  const std::string name = slot_name(capture_);
  SPILLWAY_CHECKED(replication_->run("START_REPLICATION SLOT " + replication_->quoted(name) +
                                     " LOGICAL 0/0 (proto_version '1', publication_names " +
                                     replication_->literal(replication_->quoted(name)) + ")"));
  if (!output_) {
    output_ =
        std::make_unique<PgOutput>([this](std::uint32_t oid) { return row_key(*sql_, oid); },
                                   [this](const std::string& schema, const std::string& table) {
                                     for (const std::string& wanted : capture_.tables) {
                                       const TableName one = split_table(wanted);
                                       if (one.schema == schema && one.table == table)
                                         return wanted;
                                     }
                                     return std::string();
                                   });
  }
  output_->restart();
  status_sent_ = Clock::now();
  return {};
}

Result<void> ReplicationSource::fetch(Batch& batch, std::chrono::milliseconds wait) {
  if (phase_ == Phase::kSnapshot) {
    if (snapshot_offered_) return core::fail(ErrorCode::kIo, "the snapshot was not saved");
    SPILLWAY_TRY(last, snapshot_->fetch(batch));
    snapshot_offered_ = last;
    if (last) snapshot_.reset();
    return {};
  }
  if (!replication_) SPILLWAY_CHECKED(stream());
  if (Clock::now() - looked_around_ > kLookEvery) SPILLWAY_CHECKED(look_around());
  bool more = true;
  std::size_t bytes = 0;
  while (more && batch.changes.size() < kBatchChanges && bytes < kBatchBytes) {
    SPILLWAY_TRY(got, take_message(batch));
    bytes += got;
    more = got != 0;
  }
  batch.more = more;
  add_commits();
  if (batch.changes.empty() && !more) SPILLWAY_CHECKED(wait_for_bytes(wait));
  if (Clock::now() - status_sent_ > kStatusEvery) return send_status();
  return {};
}

/// The message's size; 0: there is none now.
Result<std::size_t> ReplicationSource::take_message(Batch& batch) {
  char* raw = nullptr;
  int size = PQgetCopyData(replication_->get(), &raw, 1);
  if (size == 0) {
    if (PQconsumeInput(replication_->get()) == 0) {
      return tl::unexpected(pg_error(replication_->get(), "the replication connection is lost"));
    }
    size = PQgetCopyData(replication_->get(), &raw, 1);
  }
  if (size == 0) return std::size_t{0};
  if (size < 0) {
    return tl::unexpected(pg_error(replication_->get(), "the server has ended the replication"));
  }
  const std::unique_ptr<char, void (*)(void*)> owner(raw, PQfreemem);
  SPILLWAY_CHECKED(handle({raw, static_cast<std::size_t>(size)}, batch));
  return static_cast<std::size_t>(size);
}

Result<void> ReplicationSource::handle(std::span<const char> message, Batch& batch) {
  constexpr std::size_t kDataHead = 25;       // 'w', start, end, time
  constexpr std::size_t kKeepAliveSize = 18;  // 'k', end, time, an answer is wanted
  if (message.size() >= kDataHead && message.front() == 'w') {
    received_lsn_ = std::max(received_lsn_, read_wire(message, 1));
    return output_->take(message.subspan(kDataHead), batch.changes);
  }
  if (message.size() != kKeepAliveSize || message.front() != 'k') {
    return core::fail(ErrorCode::kProtocol, "the server's replication stream: an unknown message");
  }
  const std::uint64_t end = read_wire(message, 1);
  received_lsn_ = std::max(received_lsn_, end);
  if (!output_->in_transaction()) idle_lsn_ = std::max(idle_lsn_, end);
  return message.back() != 0 ? send_status() : Result<void>{};
}

Result<void> ReplicationSource::wait_for_bytes(std::chrono::milliseconds wait) {
  pollfd waits{PQsocket(replication_->get()), POLLIN, 0};
  static_cast<void>(::poll(&waits, 1, static_cast<int>(wait.count())));
  return {};
}

void ReplicationSource::add_commits() {
  for (const CommitEnd& commit : output_->take_commits()) {
    if (!commit.empty) {
      commits_.push_back(commit);
    } else if (commits_.empty()) {
      idle_lsn_ = std::max(idle_lsn_, commit.end_lsn);
    } else {
      commits_.back().end_lsn = commit.end_lsn;
    }
  }
}

void ReplicationSource::note(SavedPosition& position) {
  if (phase_ == Phase::kSnapshot && snapshot_offered_) phase_ = Phase::kStreaming;
  std::size_t safe = 0;
  while (safe < commits_.size() && commits_[safe].last <= position.safe) ++safe;
  if (safe > 0) {
    noted_lsn_ = std::max(noted_lsn_, commits_[safe - 1].end_lsn);
    commits_.erase(commits_.begin(), commits_.begin() + static_cast<std::ptrdiff_t>(safe));
  }
  if (commits_.empty() && output_ && !output_->in_transaction()) {
    noted_lsn_ = std::max(noted_lsn_, idle_lsn_);
  }
  noted_at_ = Clock::now();
  position.phase = phase_;
  position.source_position = noted_lsn_;
}

bool ReplicationSource::wants_note() const {
  return phase_ == Phase::kStreaming && output_ && !output_->in_transaction() && commits_.empty() &&
         idle_lsn_ > noted_lsn_ && Clock::now() - noted_at_ > kIdleNoteEvery;
}

Result<void> ReplicationSource::confirm(const Key& safe) {
  static_cast<void>(safe);
  confirmed_lsn_ = noted_lsn_;
  return replication_ ? send_status() : Result<void>{};
}

Result<void> ReplicationSource::keep_alive() {
  if (!replication_ || Clock::now() - status_sent_ < kStatusEvery) return {};
  return send_status();
}

Result<void> ReplicationSource::send_status() {
  std::string message(1, 'r');
  append_wire(message, std::max(received_lsn_, confirmed_lsn_));
  append_wire(message, confirmed_lsn_);
  append_wire(message, confirmed_lsn_);
  append_wire(message, now_us());
  append_wire(message, std::uint8_t{0});
  status_sent_ = Clock::now();
  if (PQputCopyData(replication_->get(), message.data(), static_cast<int>(message.size())) != 1 ||
      PQflush(replication_->get()) < 0) {
    return tl::unexpected(pg_error(replication_->get(), "the replication connection is lost"));
  }
  return {};
}

std::string ReplicationSource::state() const {
  return phase_ == Phase::kStreaming ? "streaming" : "snapshot";
}

}  // namespace spillway::agent::capture
