#include "edge-agent/ingest/capture/sqlite/sqlite_source.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <thread>

#include "edge-agent/ingest/capture/resnapshot.h"
#include "spillway/core/log.h"

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

constexpr std::string_view kScheme = "sqlite:";
// seq, layout, op, at, ro, rn, o0.., n0..
constexpr int kRowOld = 4;
constexpr int kRowNew = 5;
constexpr int kValuesAt = 6;

}  // namespace

SqliteSource::SqliteSource(const core::CaptureConfig& capture)
    : capture_(capture), path_(capture.source.substr(kScheme.size())) {}

Result<SqliteSource::FileId> SqliteSource::identify() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return core::fail_errno(errno, "database " + path_);
  return FileId{status.st_dev, status.st_ino};
}

Result<Opened> SqliteSource::open(PositionFile& position) {
  rows_ = {};
  rows_width_ = 0;
  outbox_.reset();
  SPILLWAY_TRY(file, identify());
  file_ = file;
  SPILLWAY_TRY(database, open_database(path_));
  database_ = std::move(database);
  outbox_.emplace(database_.get(), capture_);
  SPILLWAY_TRY(installed, outbox_->is_installed());
  if (!installed && !capture_.install) {
    return core::fail(ErrorCode::kNotFound, path_ +
                                                " has no triggers of this capture: run "
                                                "spillway-capture setup, or set install = true");
  }
  SPILLWAY_CHECKED(outbox_->install());
  SPILLWAY_CHECKED(check_history(position, installed));
  SPILLWAY_TRY(history, outbox_->history());
  confirmed_ = history.confirmed;
  return Opened{history.epoch, {history.confirmed, 0, kLastPart}};
}

/// Empty: it is the history that was captured before, or one that nobody has captured yet.
Result<std::string> SqliteSource::why_not_the_same(const std::optional<SavedPosition>& saved,
                                                   bool installed) {
  SPILLWAY_TRY(history, outbox_->history());
  const std::string forgotten = std::to_string(history.confirmed);
  if (!saved) {
    if (history.confirmed == 0) return std::string();
    return "how far it was captured is not known here, and it has forgotten what is up to change " +
           forgotten;
  }
  if (saved->epoch != history.epoch) {
    // What was installed a moment ago begins with all rows by itself.
    return installed ? std::string("it has another history than was captured before")
                     : std::string();
  }
  const Mark offered{static_cast<std::int64_t>(saved->source_position),
                     std::strtoll(saved->source_identity.c_str(), nullptr, 10)};
  bool older = history.confirmed < saved->previous.position;
  if (!older && saved->source_position > history.confirmed) {
    SPILLWAY_TRY(held, outbox_->holds(offered));
    older = !held;
  }
  if (older) {
    return "an older copy of the database was put back: it has forgotten what is up to change " +
           forgotten + ", and change " + std::to_string(saved->safe.position) + " was sent";
  }
  if (history.confirmed > saved->safe.position) {
    return "the position is an older one: the database has forgotten what is up to change " +
           forgotten + ", and only change " + std::to_string(saved->safe.position) +
           " is known to have been sent";
  }
  return std::string();
}

Result<void> SqliteSource::check_history(const PositionFile& position, bool installed) {
  SPILLWAY_TRY(why, why_not_the_same(position.saved(), installed));
  if (!why.empty()) {
    spdlog::error("{}: {}: {}; its rows are brought again", capture_.name, path_, why);
    return outbox_->begin_epoch(why);
  }
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  if (!wanted) return {};
  SPILLWAY_CHECKED(outbox_->begin_epoch("it was asked for"));
  return end_resnapshot_request(capture_);
}

Result<void> SqliteSource::start(const Key& safe) {
  confirmed_ = safe.position;
  taken_ = static_cast<std::int64_t>(safe.position);
  last_mark_ = next_mark_ = taken_;
  mark_ = {};
  turn_due_ = true;
  data_version_ = -1;
  return {};
}

Result<void> SqliteSource::confirm(const Key& safe) {
  confirmed_ = safe.position;
  turn_due_ = true;
  return {};
}

std::string SqliteSource::state() const {
  if (busy_) return "waiting for the database's lock";
  return outbox_ && outbox_->snapshot_pending() ? "snapshot" : "streaming";
}

Result<bool> SqliteSource::something_new(std::chrono::milliseconds wait) {
  SPILLWAY_TRY(file, identify());
  if (!(file == file_)) {
    return core::fail(ErrorCode::kUnavailable, path_ + " was replaced by another file");
  }
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  if (wanted) return core::fail(ErrorCode::kUnavailable, "a new snapshot was asked for");
  SPILLWAY_TRY(version, read_integer(database_.get(), "PRAGMA data_version"));
  const bool changed = version != data_version_;
  data_version_ = version;
  if (changed || turn_due_ || outbox_->snapshot_pending()) return true;
  std::this_thread::sleep_for(wait);
  return false;
}

/// A database that somebody else keeps locked is tried again in the next fetch.
Result<void> SqliteSource::take_turn() {
  auto mark = outbox_->turn(confirmed_);
  busy_ = !mark && mark.error().code == ErrorCode::kBusy;
  if (busy_) {
    turn_due_ = true;
    return {};
  }
  if (!mark) return tl::unexpected(std::move(mark).error());
  turn_due_ = false;
  mark_ = *mark;
  last_mark_ = std::max(last_mark_, mark_.number);
  return {};
}

bool SqliteSource::note_offered(SavedPosition& position) {
  const auto number = static_cast<std::uint64_t>(mark_.number);
  if (position.source_position == number) return false;
  position.source_position = number;
  position.source_identity = std::to_string(mark_.nonce);
  return true;
}

Result<void> SqliteSource::fetch(Batch& batch, std::chrono::milliseconds wait) {
  SPILLWAY_TRY(look, something_new(taken_ < last_mark_ ? std::chrono::milliseconds(0) : wait));
  if (look || turn_due_) SPILLWAY_CHECKED(take_turn());
  // Nothing is offered before the last batch was forgotten: see invariant 1.
  if (turn_due_ || taken_ >= last_mark_) {
    batch.more = outbox_->snapshot_pending();
    return {};
  }
  return read(batch);
}

Result<void> SqliteSource::prepare_read() {
  const std::size_t width = outbox_->width();
  std::string columns = "seq, layout, op, at, ro, rn";
  for (const char* side : {"o", "n"}) {
    for (std::size_t i = 0; i < width; ++i) columns += ", " + (side + std::to_string(i));
  }
  SPILLWAY_TRY(
      rows, Statement::prepare(database_.get(), "SELECT " + columns + " FROM " +
                                                    outbox_->sql().name("outbox") +
                                                    " WHERE seq > ?1 AND seq <= ?2 ORDER BY seq"));
  rows_ = std::move(rows);
  rows_width_ = width;
  return {};
}

Result<void> SqliteSource::find_mark(std::int64_t sequence) {
  if (sequence <= next_mark_) return {};
  SPILLWAY_TRY(
      next, read_integer(database_.get(), "SELECT min(seq) FROM " + outbox_->sql().name("outbox") +
                                              " WHERE op = " + std::to_string(kMarkOperation) +
                                              " AND seq >= " + std::to_string(sequence)));
  next_mark_ = next;
  return {};
}

Result<void> SqliteSource::read(Batch& batch) {
  if (rows_width_ != outbox_->width() || rows_width_ == 0) SPILLWAY_CHECKED(prepare_read());
  rows_.bind(1, taken_);
  rows_.bind(2, last_mark_);
  std::size_t bytes = 0;
  while (batch.changes.size() < kBatchChanges && bytes < kBatchBytes) {
    SPILLWAY_TRY(row, rows_.step());
    if (!row) {
      taken_ = last_mark_;
      break;
    }
    const std::int64_t sequence = rows_.integer(0);
    taken_ = sequence;
    if (rows_.integer(2) == kMarkOperation) {
      if (!batch.changes.empty()) batch.changes.back().transaction_end = true;
      continue;
    }
    SPILLWAY_CHECKED(find_mark(sequence));
    SPILLWAY_TRY(change, read_row());
    if (!change) continue;
    for (const auto* values : {&change->old_values, &change->new_values}) {
      for (const Value& value : *values) bytes += sizeof value + value.bytes.size();
    }
    batch.changes.push_back(std::move(*change));
  }
  rows_.reset();
  // The mark itself may be the next row: then this one is the last of its transaction.
  if (!batch.changes.empty() && taken_ + 1 == next_mark_)
    batch.changes.back().transaction_end = true;
  batch.more = taken_ < last_mark_ || outbox_->snapshot_pending();
  return {};
}

Result<std::optional<Change>> SqliteSource::read_row() {
  SPILLWAY_TRY(layout, outbox_->layout(rows_.integer(1)));
  if (!layout) {
    return core::fail(ErrorCode::kCorrupt,
                      "a row of the outbox names a layout that is not there: "
                      "spillway-capture remove and setup make it anew");
  }
  Change change;
  change.key = {static_cast<std::uint64_t>(rows_.integer(0)), 0, 0};
  change.operation = static_cast<change::Operation>(rows_.integer(2));
  change.table = layout->table;
  change.transaction = static_cast<std::uint64_t>(next_mark_);
  change.commit_time_us = rows_.integer(3) * 1000;
  change.keeper = layout;
  using change::Operation;
  switch (change.operation) {
    case Operation::insert:
    case Operation::snapshot:
      read_key(change, *layout, false);
      read_values(change, *layout, false, true);
      break;
    case Operation::update:
      read_key(change, *layout, true);
      read_values(change, *layout, true, true);
      break;
    case Operation::delete_:
      read_key(change, *layout, true);
      read_values(change, *layout, true, false);
      break;
    default:
      if (change.operation == Operation::schema) describe(change, *layout);
      if (rows_width_ > 0) change.note = rows_.text(kValuesAt + static_cast<int>(rows_width_));
  }
  return std::optional<Change>(std::move(change));
}

void SqliteSource::read_values(Change& change, const Layout& layout, bool old_side,
                               bool new_side) const {
  const int olds = kValuesAt;
  const int news = kValuesAt + static_cast<int>(rows_width_);
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    const int column = static_cast<int>(i);
    const std::string& name = layout.columns[i].name;
    if (old_side) change.old_values.push_back(rows_.value(olds + column, name));
    if (new_side) change.new_values.push_back(rows_.value(news + column, name));
  }
  // A row id that is the key and was changed: the new one stands nowhere else.
  if (old_side && new_side && layout.key().empty() &&
      rows_.integer(kRowOld) != rows_.integer(kRowNew)) {
    change.new_values.push_back(rows_.value(kRowNew, layout.rowid));
  }
}

void SqliteSource::read_key(Change& change, const Layout& layout, bool from_old) const {
  const auto key = layout.key();
  if (key.empty()) {
    change.key_values.push_back(rows_.value(from_old ? kRowOld : kRowNew, layout.rowid));
    return;
  }
  const int values = kValuesAt + (from_old ? 0 : static_cast<int>(rows_width_));
  for (const std::size_t column : key) {
    change.key_values.push_back(
        rows_.value(values + static_cast<int>(column), layout.columns[column].name));
  }
}

void SqliteSource::describe(Change& change, const Layout& layout) {
  const auto typed = [](const Column& column) {
    Value value;
    value.column = column.name;
    value.kind = change::Kind::text;
    value.bytes = column.type;
    return value;
  };
  for (const std::size_t column : layout.key()) {
    change.key_values.push_back(typed(layout.columns[column]));
  }
  for (const Column& column : layout.columns) change.new_values.push_back(typed(column));
}

}  // namespace spillway::agent::capture
