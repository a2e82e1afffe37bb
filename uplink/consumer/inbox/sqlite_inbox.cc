#include "uplink/consumer/inbox/sqlite_inbox.h"

#include "uplink/consumer/inbox/loose_offsets.h"
#include "uplink/consumer/inbox/sqlite_rows.h"
#include "uplink/consumer/inbox/sqlite_schema.h"
#include "uplink/consumer/inbox/sqlite_statement.h"

namespace spillway::consumer {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

class SqliteInbox final : public Inbox {
 public:
  SqliteInbox(std::string path, Database database)
      : path_(std::move(path)), database_(std::move(database)) {}

  Result<void> prepare();
  Result<std::optional<StoredPosition>> position(const InboxKey& key) override;
  void commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) override;
  Result<std::vector<InboxMark>> marks(const std::string& source) override;

 private:
  Result<void> apply_all(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes);
  /// False: it does not continue from the stored position, and nothing was changed.
  Result<bool> apply(const InboxBatch& batch);
  Result<bool> move_position(const InboxBatch& batch, const KeyText& key);
  Result<std::optional<LoosePosition>> read_loose(const KeyText& key);
  Result<LoosePosition> begin_loose(const InboxBatch& batch, const KeyText& key);
  Result<void> apply_loose(const InboxBatch& batch, const KeyText& key, LoosePosition stored);
  Result<std::uint64_t> walk_islands(const KeyText& key, std::uint64_t began, std::uint64_t next);
  Result<void> set_marks(const InboxBatch& batch);

  std::string path_;
  Database database_;  // before the statements: they go first
  Statement begin_, commit_, rollback_;
  Statement read_position_, begin_position_, move_position_, set_position_;
  Statement rows_ahead_, gaps_ahead_, set_mark_, read_marks_;
  SqliteRows rows_;
};

Result<void> SqliteInbox::prepare() {
  const struct {
    Statement* into;
    const char* sql;
  } wanted[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&read_position_, kReadPositionSql},
      {&begin_position_, kBeginPositionSql},
      {&move_position_, kMovePositionSql},
      {&set_position_, kSetPositionSql},
      {&rows_ahead_, kRowsAheadSql},
      {&gaps_ahead_, kGapsAheadSql},
      {&set_mark_, kSetMarkSql},
      {&read_marks_, kReadMarksSql},
  };
  for (const auto& one : wanted) {
    SPILLWAY_TRY(statement, Statement::prepare(database_.get(), one.sql));
    *one.into = std::move(statement);
  }
  return rows_.prepare(database_.get());
}

Result<std::optional<StoredPosition>> SqliteInbox::position(const InboxKey& key) {
  const KeyText text(key);
  text.bind(read_position_);
  SPILLWAY_TRY(found, read_position_.step());
  if (!found) return std::optional<StoredPosition>();
  const StoredPosition stored(read_position_.column(0), read_position_.column(1));
  read_position_.reset();
  return std::optional(stored);
}

void SqliteInbox::commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) {
  outcomes.assign(batches.size(), {});
  auto whole = begin_.run();
  if (whole) {
    whole = apply_all(batches, outcomes);
    if (whole) whole = commit_.run();
    // After some errors SQLite has rolled back by itself; then there is nothing left to end.
    if (!whole && sqlite3_get_autocommit(database_.get()) == 0) static_cast<void>(rollback_.run());
  }
  if (whole) return;
  // Rows that contradict each other are one gateway's trouble: the others' batches are tried
  // without it.
  if (whole.error().code == ErrorCode::kCorrupt && batches.size() > 1) {
    std::vector<Result<void>> single;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      commit(batches.subspan(i, 1), single);
      outcomes[i] = std::move(single.front());
    }
    return;
  }
  core::Error error = whole.error();
  error.message = "inbox " + path_ + ": " + error.message;
  if (error.code == ErrorCode::kFull) error.message += "; make room on its disk";
  outcomes.assign(batches.size(), tl::unexpected(error));
}

Result<std::vector<InboxMark>> SqliteInbox::marks(const std::string& source) {
  read_marks_.bind(1, std::string_view(source));
  std::vector<InboxMark> marks;
  while (true) {
    SPILLWAY_TRY(found, read_marks_.step());
    if (!found) return marks;
    marks.push_back({source, read_marks_.text(0), read_marks_.column(1)});
  }
}

Result<void> SqliteInbox::apply_all(std::span<const InboxBatch> batches,
                                    std::vector<Result<void>>& outcomes) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    SPILLWAY_TRY(applied, apply(batches[i]));
    if (applied) continue;
    outcomes[i] = fail(ErrorCode::kBusy,
                       "stream " + batches[i].key.stream + " was moved on by another session");
  }
  return {};
}

Result<bool> SqliteInbox::apply(const InboxBatch& batch) {
  SPILLWAY_CHECKED(set_marks(batch));
  const KeyText key(batch.key);
  if (batch.loose) {
    SPILLWAY_TRY(stored, begin_loose(batch, key));
    SPILLWAY_CHECKED(apply_loose(batch, key, stored));
    return true;
  }
  SPILLWAY_TRY(moved, move_position(batch, key));
  if (moved) {
    SPILLWAY_CHECKED(rows_.insert(batch, key, std::nullopt));
    return true;
  }
  if (batch.begins) return false;
  // It continues, and runs into what a broker brought before it.
  SPILLWAY_TRY(stored, read_loose(key));
  if (!stored || stored->next != batch.from || !stored->has_islands()) return false;
  SPILLWAY_CHECKED(apply_loose(batch, key, *stored));
  return true;
}

/// Invariant 2 stands here: no row is touched unless the position is the expected one.
Result<bool> SqliteInbox::move_position(const InboxBatch& batch, const KeyText& key) {
  Statement& statement = batch.begins ? begin_position_ : move_position_;
  key.bind(statement);
  statement.bind(4, batch.next);
  statement.bind(5, batch.last_record);
  if (!batch.begins) statement.bind(6, batch.from);
  SPILLWAY_CHECKED(statement.run());
  return sqlite3_changes(database_.get()) == 1;
}

Result<std::optional<LoosePosition>> SqliteInbox::read_loose(const KeyText& key) {
  key.bind(read_position_);
  SPILLWAY_TRY(found, read_position_.step());
  if (!found) return std::optional<LoosePosition>();
  const LoosePosition stored{read_position_.column(0), read_position_.column(2)};
  read_position_.reset();
  return std::optional(stored);
}

Result<LoosePosition> SqliteInbox::begin_loose(const InboxBatch& batch, const KeyText& key) {
  const std::uint64_t first = batch.key.journal_first_offset;
  // Clocks, schemas and lanes' totals move nothing, and do not begin a journal.
  if (batch.runs.empty() && batch.gaps.empty()) return LoosePosition{first, first};
  SPILLWAY_TRY(stored, read_loose(key));
  if (stored) return *stored;
  key.bind(begin_position_);
  begin_position_.bind(4, first);
  begin_position_.bind(5, std::uint64_t{0});
  SPILLWAY_CHECKED(begin_position_.run());
  return LoosePosition{first, first};
}

Result<void> SqliteInbox::apply_loose(const InboxBatch& batch, const KeyText& key,
                                      LoosePosition stored) {
  SPILLWAY_CHECKED(rows_.insert(batch, key, stored.next));
  if (batch.runs.empty() && batch.gaps.empty()) return {};
  LoosePosition moved = move_over(stored, batch);
  if (stored.has_islands()) {
    SPILLWAY_TRY(next, walk_islands(key, stored.next, moved.next));
    moved.next = next;
  }
  if (moved.next == stored.next && moved.beyond == stored.beyond) return {};
  key.bind(set_position_);
  set_position_.bind(4, moved.next);
  set_position_.bind(5, moved.beyond);
  const bool ends_it = !batch.loose && moved.next == batch.next;
  set_position_.bind(6, ends_it ? batch.last_record : 0);
  return set_position_.run();
}

Result<std::uint64_t> SqliteInbox::walk_islands(const KeyText& key, std::uint64_t began,
                                                std::uint64_t next) {
  key.bind(rows_ahead_);
  rows_ahead_.bind(4, next);
  key.bind(gaps_ahead_);
  gaps_ahead_.bind(4, began);
  auto walked = walk(
      next,
      [this]() -> Result<std::optional<std::uint64_t>> {
        SPILLWAY_TRY(found, rows_ahead_.step());
        return found ? std::optional(rows_ahead_.column(0)) : std::nullopt;
      },
      [this]() -> Result<std::optional<OffsetRange>> {
        SPILLWAY_TRY(found, gaps_ahead_.step());
        if (!found) return std::optional<OffsetRange>();
        return std::optional(OffsetRange{gaps_ahead_.column(0), gaps_ahead_.column(1)});
      });
  rows_ahead_.reset();
  gaps_ahead_.reset();
  return walked;
}

Result<void> SqliteInbox::set_marks(const InboxBatch& batch) {
  for (const InboxMark& mark : batch.marks) {
    set_mark_.bind(1, std::string_view(mark.source));
    set_mark_.bind(2, std::string_view(mark.partition));
    set_mark_.bind(3, mark.position);
    SPILLWAY_CHECKED(set_mark_.run());
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Inbox>> open_sqlite_inbox(const std::string& path) {
  SPILLWAY_TRY(database, open_inbox_database(path));
  auto inbox = std::make_unique<SqliteInbox>(path, std::move(database));
  SPILLWAY_CHECKED(inbox->prepare());
  return std::unique_ptr<Inbox>(std::move(inbox));
}

}  // namespace spillway::consumer
