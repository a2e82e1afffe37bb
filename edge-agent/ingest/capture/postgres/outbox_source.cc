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
  SPILLWAY_CHECKED(check_history(position));
  SPILLWAY_TRY(epoch, tables_->read_meta("epoch"));
  SPILLWAY_TRY(confirmed, tables_->read_meta("confirmed"));
  return Opened{epoch, {confirmed, 0, kLastPart}};
}

Result<void> PgOutboxSource::check_history(const PositionFile& position) {
  SPILLWAY_TRY(epoch, tables_->read_meta("epoch"));
  SPILLWAY_TRY(confirmed, tables_->read_meta("confirmed"));
  SPILLWAY_TRY(wanted, resnapshot_is_wanted(capture_));
  SPILLWAY_TRY(missing, tables_->missing_triggers());
  const auto& saved = position.saved();
  std::string why;
  if (wanted) why = "it was asked for";
  if (!missing.empty()) why = "the triggers of " + missing.front() + " were gone";
  if (saved && saved->epoch == epoch && confirmed < saved->previous.position) {
    why = "an older copy of the database was put back";
  }
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
  auto settled = tables_->settle();
  busy_ = !settled && settled.error().code == ErrorCode::kBusy;
  if (busy_) return false;
  if (!settled) return tl::unexpected(std::move(settled).error());
  settled_ = *settled;
  return settled_ > taken_;
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
  SPILLWAY_TRY(rows, connection_->run(
                         "SELECT seq, tbl, op, xid, (extract(epoch FROM at) * 1000000)::bigint, " +
                         texts("old") + ", " + texts("new") + " FROM " + tables_->outbox() +
                         " WHERE seq > " + std::to_string(taken_) +
                         " AND seq <= " + std::to_string(settled_) + " ORDER BY seq LIMIT " +
                         std::to_string(kBatchChanges)));
  const int count = PQntuples(rows.get());
  for (int row = 0; row < count; ++row) {
    SPILLWAY_TRY(change, change_of(rows.get(), row));
    taken_ = change.key.position;
    batch.changes.push_back(std::move(change));
  }
  if (count < static_cast<int>(kBatchChanges)) taken_ = settled_;
  batch.more = taken_ < settled_;
  return {};
}

Result<Change> PgOutboxSource::change_of(const PGresult* rows, int row) {
  SPILLWAY_TRY(relation, relation_of(PQgetvalue(rows, row, 1)));
  Change change;
  change.key = {number_at(rows, row, 0), 0, 0};
  change.table = relation->table;
  change.operation = static_cast<change::Operation>(number_at(rows, row, 2));
  change.transaction = number_at(rows, row, 3);
  change.commit_time_us = static_cast<std::int64_t>(number_at(rows, row, 4));
  change.keeper = relation;
  change.old_values = values_of(*relation, object_at(rows, row, 5));
  change.new_values = values_of(*relation, object_at(rows, row, 6));
  if (change.operation == change::Operation::snapshot_begin) change.note = note_at(rows, row, 6);
  const auto& before = change.old_values.empty() ? change.new_values : change.old_values;
  for (const Value& value : before) {
    const auto column =
        std::find_if(relation->columns.begin(), relation->columns.end(),
                     [&](const RelationColumn& one) { return one.name == value.column; });
    if (!relation->has_key() || column->key) change.key_values.push_back(value);
  }
  return change;
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
