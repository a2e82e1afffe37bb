// RocksDB: batches into its write-ahead log, which a second thread syncs at each interval.
#include <rocksdb/db.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "bench/durable/durable_log.h"
#include "bench/harness/cores.h"

namespace spillway::bench {
namespace {

constexpr std::size_t kMemtableBytes = 64U << 20;

void check(const rocksdb::Status& status) {
  if (!status.ok()) die("rocksdb: " + status.ToString());
}

/// Ascending in the order in which RocksDB compares bytes.
rocksdb::Slice key_of(std::uint64_t number, char (&bytes)[8]) {
  for (int i = 7; i >= 0; --i, number >>= 8) bytes[i] = static_cast<char>(number & 0xFF);
  return {bytes, sizeof bytes};
}

class RocksDbLog final : public DurableLog {
 public:
  explicit RocksDbLog(const DurableSetup& setup) : setup_(setup) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;
    options.write_buffer_size = kMemtableBytes;
    options.max_write_buffer_number = 4;
    options.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
    options.allow_concurrent_memtable_write = false;
    options.disable_auto_compactions = true;
    options.level0_slowdown_writes_trigger = options.level0_stop_writes_trigger = 1 << 20;
    options.wal_bytes_per_sync = 0;
    options.recycle_log_file_num = 4;
    rocksdb::DB* database = nullptr;
    check(rocksdb::DB::Open(options, setup.directory, &database));
    database_.reset(database);
    if (setup.loss == Loss::kInterval) syncs_ = std::thread([this] { sync_each_interval(); });
  }
  ~RocksDbLog() override {
    stopping_ = true;
    if (syncs_.joinable()) syncs_.join();
    check(database_->Close());
  }

  void append_batch(std::span<const std::byte> record) override {
    const rocksdb::Slice value(reinterpret_cast<const char*>(record.data()), record.size());
    batch_.Clear();
    char key[8];
    for (std::size_t i = 0; i < kBatch; ++i) check(batch_.Put(key_of(next_++, key), value));
    rocksdb::WriteOptions options;
    options.sync = setup_.loss == Loss::kBatch;
    check(database_->Write(options, &batch_));
  }
  void finish() override {
    if (setup_.loss != Loss::kAnything) check(database_->SyncWAL());
  }

 private:
  void sync_each_interval() {
    while (!stopping_) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(setup_.interval_ns));
      check(database_->SyncWAL());
    }
  }

  DurableSetup setup_;
  std::unique_ptr<rocksdb::DB> database_;
  rocksdb::WriteBatch batch_;
  std::uint64_t next_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread syncs_;
};

const bool kAdded = add_durable_store(
    {"rocksdb",
     "batches of 1,000, vector memtable of 64 MiB, no compression or compaction; log synced by a "
     "second thread",
     "stronger: indexed by key",
     {Loss::kAnything, Loss::kBatch, Loss::kInterval},
     [](const DurableSetup& setup) { return std::make_unique<RocksDbLog>(setup); }});

}  // namespace
}  // namespace spillway::bench
