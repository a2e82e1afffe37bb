// SQLite in WAL mode: one prepared insert, explicit transactions.
#include <sqlite3.h>

#include "bench/durable/durable_log.h"
#include "bench/harness/cores.h"
#include "bench/harness/timer.h"

namespace spillway::bench {
namespace {

class SqliteLog final : public DurableLog {
 public:
  explicit SqliteLog(const DurableSetup& setup) : setup_(setup) {
    const std::string path = setup.directory + "/records.db";
    if (sqlite3_open(path.c_str(), &database_) != SQLITE_OK) die("sqlite: cannot open " + path);
    run("PRAGMA page_size = 8192");
    run("PRAGMA journal_mode = WAL");
    run(setup.loss == Loss::kAnything ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = FULL");
    run("PRAGMA wal_autocheckpoint = 4000");
    run("PRAGMA cache_size = -65536");
    run("CREATE TABLE record (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)");
    if (sqlite3_prepare_v2(database_, "INSERT INTO record (payload) VALUES (?)", -1, &insert_,
                           nullptr) != SQLITE_OK) {
      die("sqlite: cannot prepare the insert");
    }
  }
  SqliteLog(const SqliteLog&) = delete;
  SqliteLog& operator=(const SqliteLog&) = delete;
  ~SqliteLog() override {
    sqlite3_finalize(insert_);
    sqlite3_close(database_);
  }

  void append_batch(std::span<const std::byte> record) override {
    if (!open_) {
      run("BEGIN");
      open_ = true;
      commit_at_ns_ = clock_ns() + setup_.interval_ns;
    }
    for (std::size_t i = 0; i < kBatch; ++i) {
      sqlite3_bind_blob(insert_, 1, record.data(), static_cast<int>(record.size()), SQLITE_STATIC);
      if (sqlite3_step(insert_) != SQLITE_DONE) die("sqlite: an insert failed");
      sqlite3_reset(insert_);
    }
    if (setup_.loss != Loss::kInterval || clock_ns() >= commit_at_ns_) finish();
  }
  void finish() override {
    if (open_) run("COMMIT");
    open_ = false;
  }

 private:
  void run(const char* statement) {
    if (sqlite3_exec(database_, statement, nullptr, nullptr, nullptr) != SQLITE_OK) {
      die(std::string("sqlite: ") + statement + ": " + sqlite3_errmsg(database_));
    }
  }

  DurableSetup setup_;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  bool open_ = false;
  std::uint64_t commit_at_ns_ = 0;
};

const bool kAdded = add_durable_store(
    {"sqlite",
     "WAL, synchronous FULL (OFF where anything may be lost), 8 KiB pages, prepared insert",
     "stronger: indexed, readable by SQL at once",
     {Loss::kAnything, Loss::kBatch, Loss::kInterval},
     [](const DurableSetup& setup) { return std::make_unique<SqliteLog>(setup); }});

}  // namespace
}  // namespace spillway::bench
