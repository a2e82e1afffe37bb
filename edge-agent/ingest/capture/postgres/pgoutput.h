// PgOutput: reads the messages of PostgreSQL's logical replication (plugin pgoutput, protocol 1) into
// changes. A state machine: no connection inside.
//
//   Between --Begin--> InTransaction --Commit--> Between
//
// One thread. The bytes come from a server and are checked: every length against what is there.
//
// Invariants:
//  1. A change's key is (the commit's LSN, 2 * its number in the transaction + 1), and so the same
//     however often the transaction is sent. A schema change that comes with it has the number before.
//  2. A transaction's last change says so: one is held back until it is known.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "edge-agent/ingest/capture/change.h"
#include "spillway/core/result.h"

namespace spillway::agent::capture {

struct RelationColumn {
  std::string name;
  std::uint32_t type = 0;
  std::int32_t modifier = 0;
  bool identity = false;  // of the replica identity
  bool key = false;       // of the primary key

  friend bool operator==(const RelationColumn&, const RelationColumn&) = default;
};

struct Relation {
  std::string table;  // as the configuration names it
  char identity = 'd';
  std::vector<RelationColumn> columns;

  [[nodiscard]] bool has_key() const;
  friend bool operator==(const Relation&, const Relation&) = default;
};

/// A commit whose changes were given out: when all up to `last` are safe, the server may forget what
/// is before `end_lsn`.
struct CommitEnd {
  Key last;
  std::uint64_t end_lsn = 0;
  bool empty = false;  // it had no change of ours
};

/// A value as its type says, from the text form.
[[nodiscard]] Value value_of_text(std::string_view column, std::uint32_t type,
                                  std::string_view text);
/// A type's name for the types that are known here, else its number.
[[nodiscard]] std::string name_of_type(std::uint32_t type);
/// The record that tells a table's columns.
[[nodiscard]] Change describe_relation(const std::shared_ptr<const Relation>& relation);

class PgOutput {
 public:
  /// Which columns are a table's primary key; asked once for each Relation message.
  using KeyOf = std::function<core::Result<std::set<std::string>>(std::uint32_t oid)>;
  /// The configuration's name for a table; empty: it is not captured.
  using NameOf = std::function<std::string(const std::string& schema, const std::string& table)>;

  PgOutput(KeyOf key_of, NameOf name_of)
      : key_of_(std::move(key_of)), name_of_(std::move(name_of)) {}

  /// Takes one message; what has become certain is added to `changes`. kProtocol.
  [[nodiscard]] core::Result<void> take(std::span<const char> message,
                                        std::vector<Change>& changes);
  /// A new connection: the server begins at a transaction, and tells its relations again.
  void restart();
  /// Commits whose changes were all given out, since the last call.
  [[nodiscard]] std::vector<CommitEnd> take_commits();
  [[nodiscard]] bool in_transaction() const { return in_transaction_; }

 private:
  class Reader;
  struct Tuple {
    std::vector<Value> values;
    bool complete = true;  // no value was left out as unchanged
  };

  [[nodiscard]] core::Result<void> begin(Reader& reader);
  [[nodiscard]] core::Result<void> commit(Reader& reader, std::vector<Change>& changes);
  [[nodiscard]] core::Result<void> relation(Reader& reader);
  [[nodiscard]] core::Result<void> row(Reader& reader, change::Operation operation,
                                       std::vector<Change>& changes);
  [[nodiscard]] core::Result<void> truncate(Reader& reader, std::vector<Change>& changes);
  [[nodiscard]] core::Result<Tuple> tuple(Reader& reader, const Relation& relation);
  [[nodiscard]] core::Result<std::shared_ptr<const Relation>> relation_of(std::uint32_t oid) const;
  void fill(Change& change, const Relation& relation, char old_kind, Tuple old_row, Tuple new_row);
  void add(Change change, const std::shared_ptr<const Relation>& relation,
           std::vector<Change>& changes);
  void hold(Change change, std::vector<Change>& changes);

  KeyOf key_of_;
  NameOf name_of_;
  std::map<std::uint32_t, std::shared_ptr<const Relation>> relations_;
  std::map<std::string, Relation> told_;  // by table: what a schema record has said last
  bool in_transaction_ = false;
  std::uint64_t final_lsn_ = 0;
  std::uint64_t transaction_ = 0;
  std::int64_t commit_time_us_ = 0;
  std::uint64_t number_ = 0;  // of the next change in the transaction
  std::optional<Change> held_;
  std::vector<CommitEnd> commits_;
};

}  // namespace spillway::agent::capture
