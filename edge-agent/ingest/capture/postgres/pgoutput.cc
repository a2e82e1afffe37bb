#include "edge-agent/ingest/capture/postgres/pgoutput.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace spillway::agent::capture {

using core::ErrorCode;
using core::Result;

namespace {

/// Microseconds from 1970 to 2000, where PostgreSQL's clock begins.
constexpr std::int64_t kEpochUs = 946'684'800'000'000;

struct TypeName {
  std::uint32_t oid;
  change::Kind kind;
  const char* name;
};
constexpr std::array<TypeName, 24> kTypes{{
    {16, change::Kind::integer, "boolean"},  {17, change::Kind::blob, "bytea"},
    {18, change::Kind::text, "\"char\""},    {19, change::Kind::text, "name"},
    {20, change::Kind::integer, "bigint"},   {21, change::Kind::integer, "smallint"},
    {23, change::Kind::integer, "integer"},  {25, change::Kind::text, "text"},
    {26, change::Kind::integer, "oid"},      {114, change::Kind::text, "json"},
    {700, change::Kind::real, "real"},       {701, change::Kind::real, "double precision"},
    {1042, change::Kind::text, "character"}, {1043, change::Kind::text, "character varying"},
    {1082, change::Kind::text, "date"},      {1083, change::Kind::text, "time"},
    {1114, change::Kind::text, "timestamp"}, {1184, change::Kind::text, "timestamp with time zone"},
    {1186, change::Kind::text, "interval"},  {1266, change::Kind::text, "time with time zone"},
    {1700, change::Kind::text, "numeric"},   {2950, change::Kind::text, "uuid"},
    {3802, change::Kind::text, "jsonb"},     {869, change::Kind::text, "inet"},
}};
constexpr std::uint32_t kBoolean = 16;

const TypeName* find_type(std::uint32_t oid) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                   [oid](const TypeName& type) { return type.oid == oid; });
  return found == kTypes.end() ? nullptr : found;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// "\x00ff"; nothing if it is anything else.
std::optional<std::string> bytes_of_hex(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t at = 2; at < text.size(); at += 2) {
    const int high = hex_digit(text[at]);
    const int low = hex_digit(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

tl::unexpected<core::Error> broken(const std::string& what) {
  return core::fail(ErrorCode::kProtocol, "the server's replication stream: " + what);
}

}  // namespace

Value value_of_text(std::string_view column, std::uint32_t type, std::string_view text) {
  Value value;
  value.column = column;
  const TypeName* known = find_type(type);
  value.kind = known == nullptr ? change::Kind::text : known->kind;
  if (value.kind == change::Kind::integer) {
    if (type == kBoolean) {
      value.integer = text == "t" ? 1 : 0;
      return value;
    }
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value.integer);
    if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return value;
  } else if (value.kind == change::Kind::real) {
    const std::string digits(text);
    char* end = nullptr;
    value.real = std::strtod(digits.c_str(), &end);
    if (end == digits.c_str() + digits.size()) return value;
  } else if (value.kind == change::Kind::blob) {
    if (auto bytes = bytes_of_hex(text)) {
      value.bytes = std::move(*bytes);
      return value;
    }
  }
  // What is not as its type says stays as it came.
  value.kind = change::Kind::text;
  value.bytes = text;
  return value;
}

std::string name_of_type(std::uint32_t type) {
  const TypeName* known = find_type(type);
  return known == nullptr ? "type " + std::to_string(type) : known->name;
}

bool Relation::has_key() const {
  return std::any_of(columns.begin(), columns.end(),
                     [](const RelationColumn& column) { return column.key; });
}

Change describe_relation(const std::shared_ptr<const Relation>& relation) {
  Change change;
  change.operation = change::Operation::schema;
  change.table = relation->table;
  change.keeper = relation;
  for (const RelationColumn& column : relation->columns) {
    Value value;
    value.column = column.name;
    value.kind = change::Kind::text;
    value.bytes = name_of_type(column.type);
    if (column.key || !relation->has_key()) change.key_values.push_back(value);
    change.new_values.push_back(std::move(value));
  }
  return change;
}

/// Walks one message; every read says whether it fitted.
class PgOutput::Reader {
 public:
  explicit Reader(std::span<const char> bytes) : bytes_(bytes) {}

  template <typename T>
  [[nodiscard]] bool read(T& value) {
    if (bytes_.size() - at_ < sizeof(T)) return false;
    std::uint64_t wide = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      wide = wide << 8 | static_cast<std::uint8_t>(bytes_[at_ + i]);
    }
    value = static_cast<T>(wide);
    at_ += sizeof(T);
    return true;
  }
  [[nodiscard]] bool read(std::string& text) {
    const auto end =
        std::find(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), bytes_.end(), '\0');
    if (end == bytes_.end()) return false;
    text.assign(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), end);
    at_ = static_cast<std::size_t>(end - bytes_.begin()) + 1;
    return true;
  }
  [[nodiscard]] bool read(std::string_view& view, std::size_t size) {
    if (bytes_.size() - at_ < size) return false;
    view = {bytes_.data() + at_, size};
    at_ += size;
    return true;
  }

 private:
  std::span<const char> bytes_;
  std::size_t at_ = 0;
};

Result<void> PgOutput::take(std::span<const char> message, std::vector<Change>& changes) {
  if (message.empty()) return broken("an empty message");
  Reader reader(message.subspan(1));
  switch (message.front()) {
    case 'B':
      return begin(reader);
    case 'C':
      return commit(reader, changes);
    case 'R':
      return relation(reader);
    case 'I':
      return row(reader, change::Operation::insert, changes);
    case 'U':
      return row(reader, change::Operation::update, changes);
    case 'D':
      return row(reader, change::Operation::delete_, changes);
    case 'T':
      return truncate(reader, changes);
    case 'O':  // where a change came from
    case 'Y':  // a type's name
    case 'M':  // an application's own message
      return {};
    default:
      return broken(std::string("an unknown message '") + message.front() + "'");
  }
}

void PgOutput::restart() {
  relations_.clear();
  told_.clear();  // what was told may not have been put
  held_.reset();
  commits_.clear();
  in_transaction_ = false;
}

std::vector<CommitEnd> PgOutput::take_commits() { return std::exchange(commits_, {}); }

Result<void> PgOutput::begin(Reader& reader) {
  std::int64_t time = 0;
  std::uint32_t transaction = 0;
  if (!reader.read(final_lsn_) || !reader.read(time) || !reader.read(transaction)) {
    return broken("a Begin that is too short");
  }
  in_transaction_ = true;
  transaction_ = transaction;
  commit_time_us_ = time + kEpochUs;
  number_ = 0;
  return {};
}

Result<void> PgOutput::commit(Reader& reader, std::vector<Change>& changes) {
  std::uint8_t flags = 0;
  std::uint64_t commit_lsn = 0;
  std::uint64_t end_lsn = 0;
  if (!reader.read(flags) || !reader.read(commit_lsn) || !reader.read(end_lsn)) {
    return broken("a Commit that is too short");
  }
  if (!in_transaction_) return broken("a Commit without a Begin");
  in_transaction_ = false;
  Key last{final_lsn_, 0, 0};
  const bool empty = !held_;
  if (held_) {
    held_->transaction_end = true;
    last = held_->key;
    changes.push_back(std::move(*held_));
    held_.reset();
  }
  commits_.push_back({last, end_lsn, empty});
  return {};
}

Result<void> PgOutput::relation(Reader& reader) {
  std::uint32_t oid = 0;
  std::string schema;
  std::string table;
  std::uint8_t identity = 0;
  std::uint16_t count = 0;
  if (!reader.read(oid) || !reader.read(schema) || !reader.read(table) || !reader.read(identity) ||
      !reader.read(count)) {
    return broken("a Relation that is too short");
  }
  SPILLWAY_TRY(key, key_of_(oid));
  auto relation = std::make_shared<Relation>();
  relation->table = name_of_(schema.empty() ? "pg_catalog" : schema, table);
  relation->identity = static_cast<char>(identity);
  for (std::uint16_t i = 0; i < count; ++i) {
    RelationColumn column;
    std::uint8_t flags = 0;
    if (!reader.read(flags) || !reader.read(column.name) || !reader.read(column.type) ||
        !reader.read(column.modifier)) {
      return broken("a Relation that is too short");
    }
    column.identity = (flags & 1U) != 0;
    column.key = key.contains(column.name);
    relation->columns.push_back(std::move(column));
  }
  relations_[oid] = std::move(relation);
  return {};
}

Result<std::shared_ptr<const Relation>> PgOutput::relation_of(std::uint32_t oid) const {
  const auto found = relations_.find(oid);
  if (found == relations_.end()) return broken("a change of a table that was not described");
  return found->second;
}

Result<PgOutput::Tuple> PgOutput::tuple(Reader& reader, const Relation& relation) {
  std::uint16_t count = 0;
  if (!reader.read(count) || count != relation.columns.size()) {
    return broken("a row with other columns than its table");
  }
  Tuple tuple;
  for (const RelationColumn& column : relation.columns) {
    std::uint8_t kind = 0;
    if (!reader.read(kind)) return broken("a row that is too short");
    Value value;
    value.column = column.name;
    if (kind == 'u') {
      value.kind = change::Kind::unchanged;
      tuple.complete = false;
    } else if (kind == 't') {
      std::uint32_t size = 0;
      std::string_view text;
      if (!reader.read(size) || !reader.read(text, size))
        return broken("a value that is too short");
      value = value_of_text(column.name, column.type, text);
    } else if (kind != 'n') {
      return broken("a value of an unknown form");
    }
    tuple.values.push_back(std::move(value));
  }
  return tuple;
}

Result<void> PgOutput::row(Reader& reader, change::Operation operation,
                           std::vector<Change>& changes) {
  std::uint32_t oid = 0;
  std::uint8_t kind = 0;
  if (!reader.read(oid) || !reader.read(kind)) return broken("a change that is too short");
  if (!in_transaction_) return broken("a change outside of a transaction");
  SPILLWAY_TRY(relation, relation_of(oid));
  Tuple old_row;
  Tuple new_row;
  char old_kind = ' ';
  if (kind == 'K' || kind == 'O') {
    old_kind = static_cast<char>(kind);
    SPILLWAY_TRY(row, tuple(reader, *relation));
    old_row = std::move(row);
    kind = 'N';
    if (operation == change::Operation::update && !reader.read(kind)) {
      return broken("an update without its new row");
    }
  }
  if (operation == change::Operation::delete_ && old_kind == ' ') {
    return broken("a delete without its old row");
  }
  if (operation != change::Operation::delete_) {
    if (kind != 'N') return broken("a change without its new row");
    SPILLWAY_TRY(row, tuple(reader, *relation));
    new_row = std::move(row);
  }
  Change change;
  change.operation = operation;
  fill(change, *relation, old_kind, std::move(old_row), std::move(new_row));
  add(std::move(change), relation, changes);
  return {};
}

void PgOutput::fill(Change& change, const Relation& relation, char old_kind, Tuple old_row,
                    Tuple new_row) {
  const bool has_key = relation.has_key();
  // The key as it was: of the old row, where that was sent.
  const auto& before = old_kind == ' ' ? new_row.values : old_row.values;
  for (std::size_t i = 0; i < relation.columns.size(); ++i) {
    const RelationColumn& column = relation.columns[i];
    const bool known = old_kind != 'K' || column.identity;
    if (known && (has_key ? column.key : column.identity || old_kind == ' ')) {
      change.key_values.push_back(before[i]);
    }
    if (old_kind == 'O' || (old_kind == 'K' && column.identity)) {
      change.old_values.push_back(old_row.values[i]);
    }
    // A large value that the update did not touch is the old one, if that is known.
    if (!new_row.complete && old_kind == 'O' && new_row.values[i].kind == change::Kind::unchanged) {
      new_row.values[i] = old_row.values[i];
    }
  }
  change.new_values = std::move(new_row.values);
}

Result<void> PgOutput::truncate(Reader& reader, std::vector<Change>& changes) {
  std::uint32_t count = 0;
  std::uint8_t options = 0;
  if (!reader.read(count) || !reader.read(options)) return broken("a Truncate that is too short");
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t oid = 0;
    if (!reader.read(oid)) return broken("a Truncate that is too short");
    SPILLWAY_TRY(relation, relation_of(oid));
    Change change;
    change.operation = change::Operation::truncate;
    add(std::move(change), relation, changes);
  }
  return {};
}

void PgOutput::add(Change change, const std::shared_ptr<const Relation>& relation,
                   std::vector<Change>& changes) {
  const std::uint64_t number = number_++;
  if (relation->table.empty()) return;
  const auto stamp = [&](Change& one, std::uint64_t index) {
    one.key = {final_lsn_, index, 0};
    one.table = relation->table;
    one.transaction = transaction_;
    one.commit_time_us = commit_time_us_;
    one.keeper = relation;
  };
  auto& told = told_[relation->table];
  if (told != *relation) {
    Change schema = describe_relation(relation);
    stamp(schema, 2 * number);
    hold(std::move(schema), changes);
    told = *relation;
  }
  stamp(change, 2 * number + 1);
  hold(std::move(change), changes);
}

void PgOutput::hold(Change change, std::vector<Change>& changes) {
  if (held_) changes.push_back(std::move(*held_));
  held_ = std::move(change);
}

}  // namespace spillway::agent::capture
