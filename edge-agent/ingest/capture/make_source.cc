#include "edge-agent/ingest/capture/make_source.h"

#include "edge-agent/ingest/capture/sqlite/sqlite_source.h"
#include "spillway/core/env/posix_env.h"
#if defined(SPILLWAY_CAPTURE_POSTGRES)
#include "edge-agent/ingest/capture/postgres/postgres_source.h"
#endif

namespace spillway::agent::capture {
namespace {

using core::Result;

constexpr std::string_view kSqlite = "sqlite:";

bool is_sqlite(const core::CaptureConfig& capture) { return capture.source.starts_with(kSqlite); }

/// Runs `work` with the outbox of a SQLite database.
template <typename Work>
auto with_outbox(const core::CaptureConfig& capture, Work work)
    -> decltype(work(std::declval<Outbox&>())) {
  SPILLWAY_TRY(database, open_database(capture.source.substr(kSqlite.size())));
  Outbox outbox(database.get(), capture);
  return work(outbox);
}

#if !defined(SPILLWAY_CAPTURE_POSTGRES)
tl::unexpected<core::Error> no_postgres(const core::CaptureConfig& capture) {
  return core::fail(core::ErrorCode::kInvalidArgument,
                    capture.name +
                        ": this spillway-capture was built without PostgreSQL "
                        "(SPILLWAY_INGEST_CAPTURE_POSTGRES)");
}
#endif

Result<void> remove_state(const core::CaptureConfig& capture) {
  auto& env = core::env::posix_env();
  for (const char* ending : {".position", ".progress", ".resnapshot"}) {
    const std::string path = capture.state_dir + "/" + capture.name + ending;
    SPILLWAY_TRY(there, env.exists(path));
    if (there) SPILLWAY_CHECKED(env.remove(path));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Source>> make_source(const core::CaptureConfig& capture) {
  if (is_sqlite(capture)) return std::unique_ptr<Source>(std::make_unique<SqliteSource>(capture));
#if defined(SPILLWAY_CAPTURE_POSTGRES)
  return make_postgres_source(capture);
#else
  return no_postgres(capture);
#endif
}

Result<void> set_up(const core::CaptureConfig& capture) {
  if (is_sqlite(capture)) {
    return with_outbox(capture, [](Outbox& outbox) { return outbox.install(); });
  }
#if defined(SPILLWAY_CAPTURE_POSTGRES)
  return set_up_postgres(capture);
#else
  return no_postgres(capture);
#endif
}

Result<std::vector<std::string>> set_up_sql(const core::CaptureConfig& capture) {
  if (is_sqlite(capture)) {
    return with_outbox(capture, [](Outbox& outbox) { return outbox.install_sql(); });
  }
#if defined(SPILLWAY_CAPTURE_POSTGRES)
  return postgres_set_up_sql(capture);
#else
  return no_postgres(capture);
#endif
}

Result<void> take_away(const core::CaptureConfig& capture) {
  // Who runs now would make it anew: the position's lock says so.
  SPILLWAY_TRY(position, PositionFile::open(core::env::posix_env(),
                                            capture.state_dir + "/" + capture.name + ".position"));
  static_cast<void>(position);
  if (is_sqlite(capture)) {
    SPILLWAY_CHECKED(with_outbox(capture, [](Outbox& outbox) { return outbox.remove(); }));
    return remove_state(capture);
  }
#if defined(SPILLWAY_CAPTURE_POSTGRES)
  SPILLWAY_CHECKED(take_away_postgres(capture));
  return remove_state(capture);
#else
  return no_postgres(capture);
#endif
}

Result<std::vector<std::string>> take_away_sql(const core::CaptureConfig& capture) {
  if (is_sqlite(capture)) return TriggerSql(capture.name).remove(capture.tables);
#if defined(SPILLWAY_CAPTURE_POSTGRES)
  return postgres_take_away_sql(capture);
#else
  return no_postgres(capture);
#endif
}

}  // namespace spillway::agent::capture
