#include "edge-agent/ingest/capture/postgres/outbox_source.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <thread>

#include "edge-agent/ingest/capture/epoch.h"
#include "edge-agent/ingest/capture/postgres/publication.h"
#include "edge-agent/ingest/capture/resnapshot.h"
#include "spillway/core/log.h"

namespace spillway::agent::capture {

namespace json = boost::json;
using core::ErrorCode;
using core::Result;

namespace {

constexpr std::chrono::seconds kLookEvery{5};
constexpr std::uint32_t kBoolean = 16;
constexpr std::uint32_t kText = 25;

std::uint64_t number_at(const PGresult* rows, int row, int column) {
  return std::strtoull(PQgetvalue(rows, row, column), nullptr, 10);
}

/// A row as JSON whose values are all text; nothing where there is none.
json::object object_at(const PGresult* rows, int row, int column) {
  if (PQgetisnull(rows, row, column) != 0) return {};
  json::error_code broken;
  const json::value value = json::parse(PQgetvalue(rows, row, column), broken);
  return !broken && value.is_object() ? value.as_object() : json::object();
}

/// What a row of the outbox says that is of no row of the table.
std::string note_at(const PGresult* rows, int row, int column) {
  json::error_code broken;
  const json::value value = json::parse(PQgetvalue(rows, row, column), broken);
  return !broken && value.is_string() ? json::value_to<std::string>(value) : std::string();
}

bool has_column(const Relation& relation, std::string_view name) {
  return std::any_of(relation.columns.begin(), relation.columns.end(),
                     [&](const RelationColumn& column) { return column.name == name; });
}

/// Columns of the row that the relation has not.
std::vector<RelationColumn> strangers(const Relation& relation, const json::object& row) {
  std::vector<RelationColumn> columns;
  for (const auto& field : row) {
    const std::string name(field.key());
    if (!has_column(relation, name)) columns.push_back({name, kText, 0, false, false});
  }
  return columns;
}

std::vector<Value> values_of(const Relation& relation, const json::object& row) {
  std::vector<Value> values;
  for (const RelationColumn& column : relation.columns) {
    const auto* found = row.if_contains(column.name);
    if (found == nullptr) continue;  // a column that came later
    Value value;
    value.column = column.name;
    if (found->is_string()) {
      std::string_view text(found->as_string().data(), found->as_string().size());
      // JSON has its own words for the two.
      if (column.type == kBoolean) text = text == "true" ? "t" : "f";
      value = value_of_text(column.name, column.type, text);
    }
    values.push_back(std::move(value));
  }
  return values;
}

}  // namespace

Result<Opened> PgOutboxSource::open(PositionFile& position) {
  tables_.reset();
  relations_.clear();
  told_.clear();  // what was told may not have been put
  mark_ = {};
  SPILLWAY_TRY(connection, PgConnection::open(capture_, false));
  connection_ = std::move(connection);
  tables_.emplace(*connection_, capture_);
  SPILLWAY_TRY(installed, tables_->is_installed());
  if (!installed && !capture_.install) {
    return core::fail(ErrorCode::kNotFound,
                      "the database has no outbox of this capture: run "
                      "spillway-capture setup, or set install = true");
  }
  SPILLWAY_CHECKED(tables_->install(random_epoch()));
  SPILLWAY_CHECKED(check_history(position, installed));
  SPILLWAY_TRY(epoch, tables_->read_meta("epoch"));
  SPILLWAY_TRY(confirmed, tables_->read_meta("confirmed"));
  return Opened{epoch, {confirmed, 1, kLastPart}};
}

/// Empty: it is the history that was captured before, or one that nobody has captured yet.
Result<std::string> PgOutboxSource::why_not_the_same(const std::optional<SavedPosition>& saved,
                                                     bool installed) {
  SPILLWAY_TRY(epoch, tables_->read_meta("epoch"));
  SPILLWAY_TRY(confirmed, tables_->read_meta("confirmed"));
  if (!saved) return confirmed == 0 ? "" : "how far the outbox was captured is not known here";
  if (saved->epoch != epoch) {
    // What was installed a moment ago begins with all rows by itself.
    return installed ? "the outbox has another history than was captured before" : "";
  }
  bool older = confirmed < saved->previous.position;
  if (!older && saved->source_position > confirmed) {
    SPILLWAY_TRY(held,
                 tables_->holds({saved->source_position,
                                 std::strtoull(saved->source_identity.c_str(), nullptr, 10)}));
    older = !held;
  }
  if (older) return "an older copy of the database was put back";
  return confirmed > saved->safe.position ? "the position is an older one than the outbox's" : "";
}

Result<void> PgOutboxSource::check_history(const PositionFile& position, bool installed) {
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  SPILLWAY_TRY(missing, tables_->missing_triggers());
  SPILLWAY_TRY(why, why_not_the_same(position.saved(), installed));
  if (wanted) why = "it was asked for";
  if (!missing.empty()) why = "the triggers of " + missing.front() + " were gone";
  if (why.empty()) return {};
  spdlog::warn("{}: {}: all rows are brought again", capture_.name, why);
  SPILLWAY_CHECKED(tables_->begin_epoch(random_epoch(), why));
  return end_resnapshot_request(capture_);
}

Result<void> PgOutboxSource::start(const Key& safe) {
  taken_ = settled_ = safe.position;
  looked_around_ = Clock::now();
  return tables_->forget(safe.position);
}

Result<void> PgOutboxSource::confirm(const Key& safe) { return tables_->forget(safe.position); }

Result<void> PgOutboxSource::look_around() {
  looked_around_ = Clock::now();
  relations_.clear();
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  if (wanted) return core::fail(ErrorCode::kUnavailable, "a new snapshot was asked for");
  SPILLWAY_TRY(missing, tables_->missing_triggers());
  if (missing.empty()) return {};
  return core::fail(ErrorCode::kUnavailable,
                    "table " + missing.front() + " has lost its triggers (was it made anew?)");
}

/// Writers that hold the outbox for longer than a moment are waited for in the next fetch.
Result<bool> PgOutboxSource::find_new() {
  SPILLWAY_TRY(rows, connection_->run("SELECT coalesce(max(seq), 0) FROM " + tables_->outbox()));
  if (number_at(rows.get(), 0, 0) <= taken_) return false;
  auto mark = tables_->settle();
  busy_ = !mark && mark.error().code == ErrorCode::kBusy;
  if (busy_) return false;
  if (!mark) return tl::unexpected(std::move(mark).error());
  mark_ = *mark;
  settled_ = mark_.number;
  return settled_ > taken_;
}

bool PgOutboxSource::note_offered(SavedPosition& position) {
  if (position.source_position == mark_.number) return false;
  position.source_position = mark_.number;
  position.source_identity = std::to_string(mark_.nonce);
  return true;
}

Result<void> PgOutboxSource::fetch(Batch& batch, std::chrono::milliseconds wait) {
  if (Clock::now() - looked_around_ > kLookEvery) SPILLWAY_CHECKED(look_around());
  if (taken_ >= settled_) {
    SPILLWAY_TRY(found, find_new());
    if (!found) {
      std::this_thread::sleep_for(wait);
      return {};
    }
  }
  return read(batch);
}

Result<void> PgOutboxSource::read(Batch& batch) {
  const auto texts = [](const std::string& side) {
    return "(CASE WHEN jsonb_typeof(" + side +
           ") = 'object' THEN (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(" + side +
           ")) ELSE " + side + " END)::text";
  };
  // Memory is bounded by what rows take in the table, of which large ones are compressed.
  const std::string sizes =
      "coalesce(pg_column_size(old), 0) + coalesce(pg_column_size(new), 0) AS own";
  SPILLWAY_TRY(
      rows,
      connection_->run(
          "SELECT seq, tbl, op, xid, (extract(epoch FROM at) * 1000000)::bigint, " + texts("old") +
          ", " + texts("new") +
          " FROM (SELECT *, sum(own) OVER (ORDER BY seq) - own AS before FROM (SELECT *, " + sizes +
          " FROM " + tables_->outbox() + " WHERE seq > " + std::to_string(taken_) + " AND seq < " +
          std::to_string(settled_) + " ORDER BY seq LIMIT " + std::to_string(kBatchChanges) +
          ") sized) summed WHERE before < " + std::to_string(kBatchBytes) + " ORDER BY seq"));
  const int count = PQntuples(rows.get());
  for (int row = 0; row < count; ++row) {
    taken_ = number_at(rows.get(), row, 0);
    if (number_at(rows.get(), row, 2) == kPgMarkOperation) continue;
    SPILLWAY_CHECKED(add_change(rows.get(), row, batch));
  }
  if (count == 0) taken_ = settled_;
  batch.more = taken_ < settled_;
  return {};
}

Result<void> PgOutboxSource::add_change(const PGresult* rows, int row, Batch& batch) {
  const std::string table = PQgetvalue(rows, row, 1);
  const json::object old_row = object_at(rows, row, 5);
  const json::object new_row = object_at(rows, row, 6);
  SPILLWAY_TRY(relation, relation_for(table, old_row, new_row));
  Change change;
  change.key = {number_at(rows, row, 0), 1, 0};
  change.table = relation->table;
  change.operation = static_cast<change::Operation>(number_at(rows, row, 2));
  change.transaction = number_at(rows, row, 3);
  change.commit_time_us = static_cast<std::int64_t>(number_at(rows, row, 4));
  change.keeper = relation;
  change.old_values = values_of(*relation, old_row);
  change.new_values = values_of(*relation, new_row);
  if (change.operation == change::Operation::snapshot_begin) change.note = note_at(rows, row, 6);
  const auto& before = change.old_values.empty() ? change.new_values : change.old_values;
  for (const Value& value : before) {
    const auto column =
        std::find_if(relation->columns.begin(), relation->columns.end(),
                     [&](const RelationColumn& one) { return one.name == value.column; });
    if (!relation->has_key() || column->key) change.key_values.push_back(value);
  }
  const Relation& now = *relations_[table];
  if (Relation& told = told_[table]; told != now) {
    Change schema = describe_relation(relations_[table]);
    schema.key = {change.key.position, 0, 0};
    schema.transaction = change.transaction;
    schema.commit_time_us = change.commit_time_us;
    batch.changes.push_back(std::move(schema));
    told = now;
  }
  batch.changes.push_back(std::move(change));
  return {};
}

/// The table's columns now, and those that the rows have besides, under the names that they had.
Result<std::shared_ptr<const Relation>> PgOutboxSource::relation_for(const std::string& table,
                                                                     const json::object& old_row,
                                                                     const json::object& new_row) {
  const json::object& row = new_row.empty() ? old_row : new_row;
  SPILLWAY_TRY(known, relation_of(table));
  if (strangers(*known, row).empty()) return known;
  relations_.erase(table);  // what is known of it may be old
  SPILLWAY_TRY(now, relation_of(table));
  const auto more = strangers(*now, row);
  if (more.empty()) return now;
  auto wide = std::make_shared<Relation>(*now);
  wide->columns.insert(wide->columns.end(), more.begin(), more.end());
  return std::shared_ptr<const Relation>(std::move(wide));
}

Result<std::shared_ptr<const Relation>> PgOutboxSource::relation_of(const std::string& table) {
  auto& relation = relations_[table];
  if (relation) return relation;
  SPILLWAY_TRY(rows,
               connection_->run(
                   "SELECT a.attname, a.atttypid, EXISTS(SELECT 1 FROM pg_index i WHERE "
                   "i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey)) "
                   "FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped AND "
                   "a.attrelid = to_regclass(" +
                   connection_->literal(connection_->quoted_table(table)) + ") ORDER BY a.attnum"));
  auto made = std::make_shared<Relation>();
  made->table = table;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    made->columns.push_back({PQgetvalue(rows.get(), row, 0),
                             static_cast<std::uint32_t>(number_at(rows.get(), row, 1)), 0, false,
                             PQgetvalue(rows.get(), row, 2)[0] == 't'});
  }
  relation = made;
  return relation;
}

}  // namespace spillway::agent::capture
