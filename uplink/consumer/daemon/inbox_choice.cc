#include "uplink/consumer/daemon/inbox_choice.h"

#include "spillway/core/secret_file.h"
#include "uplink/consumer/gateways/sqlite_gateways.h"
#include "uplink/consumer/inbox/dead_rows.h"
#include "uplink/consumer/inbox/sqlite_inbox.h"
#include "uplink/consumer/inbox/sqlite_schema.h"

#ifdef SPILLWAY_INBOX_POSTGRES
#include "uplink/consumer/inbox/postgres_inbox.h"
#include "uplink/consumer/inbox/postgres_keeping.h"
#include "uplink/consumer/inbox/postgres_schema.h"
#endif

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

constexpr std::string_view kSqlite = "sqlite:";

#ifdef SPILLWAY_INBOX_POSTGRES
constexpr bool kHasPostgres = true;

PostgresAddress address_of(const InboxChoice& choice) {
  return {choice.postgres_url, choice.password};
}
#else
constexpr bool kHasPostgres = false;
#endif

}  // namespace

Result<InboxChoice> choose_inbox(const core::ConsumerConfig& config) {
  InboxChoice choice;
  if (config.inbox.starts_with("postgres")) {
    if (!kHasPostgres) {
      return fail(
          ErrorCode::kInvalidArgument,
          "[consumer] inbox: PostgreSQL needs a build with -DSPILLWAY_INBOX_POSTGRES=ON, and "
          "this one was made without it; use sqlite:/path");
    }
    choice.postgres_url = config.inbox;
    if (config.inbox_password_file.empty()) return choice;
    SPILLWAY_TRY(password,
                 core::read_secret_file(config.inbox_password_file, "inbox_password_file"));
    choice.password = std::move(password);
    return choice;
  }
  if (config.inbox.starts_with(kSqlite) && config.inbox.size() > kSqlite.size()) {
    choice.sqlite_path = config.inbox.substr(kSqlite.size());
    return choice;
  }
  return fail(ErrorCode::kInvalidArgument,
              "[consumer] inbox = \"" + config.inbox +
                  "\" is no database (sqlite:/path/of/inbox.db or postgresql://...)");
}

Result<std::unique_ptr<Inbox>> open_inbox_of(const InboxChoice& choice) {
#ifdef SPILLWAY_INBOX_POSTGRES
  if (!choice.postgres_url.empty()) return open_postgres_inbox(address_of(choice));
#endif
  return open_sqlite_inbox(choice.sqlite_path);
}

Result<std::unique_ptr<GatewayStore>> open_gateways(const InboxChoice& choice) {
#ifdef SPILLWAY_INBOX_POSTGRES
  if (!choice.postgres_url.empty()) {
    SPILLWAY_TRY(connection, open_postgres_database(address_of(choice)));
    return make_postgres_gateways(std::move(connection));
  }
#endif
  SPILLWAY_TRY(database, open_inbox_database(choice.sqlite_path));
  return std::make_unique<SqliteGateways>(std::move(database));
}

Result<std::unique_ptr<GatewayStore>> open_existing_gateways(const InboxChoice& choice) {
#ifdef SPILLWAY_INBOX_POSTGRES
  if (!choice.postgres_url.empty()) {
    SPILLWAY_TRY(connection, open_existing_postgres_database(address_of(choice)));
    return make_postgres_gateways(std::move(connection));
  }
#endif
  SPILLWAY_TRY(database, open_existing_inbox_database(choice.sqlite_path));
  return std::make_unique<SqliteGateways>(std::move(database));
}

Result<std::unique_ptr<DeadStore>> open_dead_rows(const InboxChoice& choice) {
#ifdef SPILLWAY_INBOX_POSTGRES
  if (!choice.postgres_url.empty()) {
    SPILLWAY_TRY(connection, open_existing_postgres_database(address_of(choice)));
    return make_postgres_dead_rows(std::move(connection));
  }
#endif
  SPILLWAY_TRY(rows, DeadRows::open(choice.sqlite_path));
  return std::make_unique<DeadRows>(std::move(rows));
}

Result<std::unique_ptr<Pruner>> open_pruner(const InboxChoice& choice, RetentionRules rules) {
#ifdef SPILLWAY_INBOX_POSTGRES
  if (!choice.postgres_url.empty()) {
    SPILLWAY_TRY(connection, open_existing_postgres_database(address_of(choice)));
    return make_postgres_pruner(std::move(connection), rules.retain_ns);
  }
#endif
  SPILLWAY_TRY(database, open_existing_inbox_database(choice.sqlite_path));
  return std::make_unique<Retention>(std::move(database), rules);
}

}  // namespace spillway::consumer
