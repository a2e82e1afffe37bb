// Durable append at saturation: bench_durable STORE --dir DIR --loss anything|batch|interval
// [--size BYTES] [--ms N] [--interval-us N], or --list. A JSON line on stdout.
//
// One thread appends as fast as the store takes it; the time includes the last sync. Not pinned:
// stores have threads of their own, and all have both cores.
#include <charconv>
#include <string_view>

#include "bench/durable/durable_log.h"
#include "bench/harness/cores.h"
#include "bench/harness/json_line.h"
#include "bench/harness/timer.h"

namespace {

using namespace spillway::bench;

constexpr const char* kLossNames[] = {"anything", "batch", "interval"};
constexpr std::uint64_t kWarmUpMs = 100;

std::uint64_t append_for(DurableLog& log, std::span<const std::byte> record, std::uint64_t ms) {
  std::uint64_t records = 0;
  for (const std::uint64_t end = clock_ns() + ms * 1'000'000; clock_ns() < end;) {
    log.append_batch(record);
    records += DurableLog::kBatch;
  }
  return records;
}

void measure(const DurableStore& store, const DurableSetup& setup, std::uint64_t ms) {
  alarm(120);
  const auto log = store.open(setup);
  const std::vector<std::byte> record(setup.record_bytes, std::byte{0x5A});
  append_for(*log, record, kWarmUpMs);
  log->finish();
  const std::uint64_t from = clock_ns();
  const std::uint64_t records = append_for(*log, record, ms);
  log->finish();
  const auto seconds = static_cast<double>(clock_ns() - from) / 1e9;
  JsonLine json;
  json.add("store", store.name);
  json.add("settings", store.settings);
  json.add("guarantee", store.guarantee);
  json.add("loss", kLossNames[static_cast<int>(setup.loss)]);
  json.add("size", std::uint64_t{setup.record_bytes});
  json.add("records_per_s", static_cast<double>(records) / seconds);
  json.add("bytes_per_s", static_cast<double>(records * setup.record_bytes) / seconds);
  json.print();
}

void list() {
  for (const auto& store : durable_stores()) {
    for (const Loss loss : store.losses) {
      JsonLine json;
      json.add("store", store.name);
      json.add("loss", kLossNames[static_cast<int>(loss)]);
      json.print();
    }
  }
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Loss loss_of(std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    if (name == kLossNames[i]) return static_cast<Loss>(i);
  }
  die("bench_durable: --loss is anything, batch or interval", 2);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) die("usage: bench_durable STORE|--list --dir DIR [OPTIONS]", 2);
  const std::string_view name = argv[1];
  if (name == "--list") {
    list();
    return 0;
  }
  DurableSetup setup;
  std::uint64_t ms = 1000;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    const std::string_view value = argv[i + 1];
    if (key == "--dir")
      setup.directory = value;
    else if (key == "--loss")
      setup.loss = loss_of(value);
    else if (key == "--size")
      setup.record_bytes = number_of(value);
    else if (key == "--ms")
      ms = number_of(value);
    else if (key == "--interval-us")
      setup.interval_ns = number_of(value) * 1000;
    else
      die("bench_durable: no option '" + std::string(key) + "'", 2);
  }
  for (const auto& store : durable_stores()) {
    if (name != store.name) continue;
    measure(store, setup, ms);
    return 0;
  }
  die("bench_durable: no store '" + std::string(name) + "' was built: see --list", 2);
}
