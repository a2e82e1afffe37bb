// LMDB: ascending integer keys, appended, one write transaction for each batch or interval.
#include <lmdb.h>

#include "bench/durable/durable_log.h"
#include "bench/harness/cores.h"
#include "bench/harness/timer.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kMapBytes = 8ULL << 30;  // address space, not disk

void check(int code, const char* what) {
  if (code != MDB_SUCCESS) die(std::string("lmdb: ") + what + ": " + mdb_strerror(code));
}

class LmdbLog final : public DurableLog {
 public:
  explicit LmdbLog(const DurableSetup& setup) : setup_(setup) {
    check(mdb_env_create(&environment_), "create");
    check(mdb_env_set_mapsize(environment_, kMapBytes), "map size");
    const unsigned flags = MDB_WRITEMAP | (setup.loss == Loss::kAnything ? MDB_NOSYNC : 0U);
    check(mdb_env_open(environment_, setup.directory.c_str(), flags, 0600), "open");
    begin();
    check(mdb_dbi_open(transaction_, nullptr, MDB_INTEGERKEY, &table_), "table");
    finish();
  }
  LmdbLog(const LmdbLog&) = delete;
  LmdbLog& operator=(const LmdbLog&) = delete;
  ~LmdbLog() override { mdb_env_close(environment_); }

  void append_batch(std::span<const std::byte> record) override {
    if (transaction_ == nullptr) begin();
    for (std::size_t i = 0; i < kBatch; ++i) {
      MDB_val key{sizeof next_, &next_};
      MDB_val value{record.size(), const_cast<std::byte*>(record.data())};
      check(mdb_put(transaction_, table_, &key, &value, MDB_APPEND), "put");
      ++next_;
    }
    if (setup_.loss != Loss::kInterval || clock_ns() >= commit_at_ns_) finish();
  }
  void finish() override {
    if (transaction_ != nullptr) check(mdb_txn_commit(transaction_), "commit");
    transaction_ = nullptr;
  }

 private:
  void begin() {
    check(mdb_txn_begin(environment_, nullptr, 0, &transaction_), "begin");
    commit_at_ns_ = clock_ns() + setup_.interval_ns;
  }

  DurableSetup setup_;
  MDB_env* environment_ = nullptr;
  MDB_txn* transaction_ = nullptr;
  MDB_dbi table_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t commit_at_ns_ = 0;
};

const bool kAdded =
    add_durable_store({"lmdb",
                       "write map, integer keys, appended; commit is the sync",
                       "stronger: indexed by key",
                       {Loss::kAnything, Loss::kBatch, Loss::kInterval},
                       [](const DurableSetup& setup) { return std::make_unique<LmdbLog>(setup); }});

}  // namespace
}  // namespace spillway::bench
