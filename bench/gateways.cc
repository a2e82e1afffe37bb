// What a consumer of many gateways costs: bench_gateways [--gateways N].
//
// A real consumer process with its SQLite inbox, and N gateways in this process: the real uplink
// sessions, each on a socket of its own. One JSON object a line:
//   idle      the consumer's memory with 0, N/10 and N gateways connected, and how long they took
//   live      each sends a record a second: records/s, time to the ack, transactions
//   beside    one sends a record every 20 ms beside 10 that drain a backlog: its time to the ack
//   backlog   all drain a backlog at once: records/s, and the most memory that the consumer used
//   storm     the consumer ends and comes back: how long until all stream again
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "uplink/daemons.h"
#include "uplink/fleet.h"

namespace spillway::uplink::test {
namespace {

using Clock = Fleet::Clock;

/// "VmRSS" or "VmHWM" of a process, in KiB.
double memory_kib(pid_t pid, const std::string& what) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(what + ":")) return std::stod(line.substr(what.size() + 1));
  }
  return 0;
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

void fail(const std::string& what, const Process& consumer) {
  std::fprintf(stderr, "bench_gateways: %s\n%s\n", what.c_str(), consumer.log().c_str());
  std::exit(3);
}

class Bench {
 public:
  explicit Bench(std::size_t gateways)
      : gateways_(gateways), site_("bench"), port_(free_port()), fleet_(port_, gateways) {
    site_.configure("ws", port_, port_);
    consumer_ = site_.start_consumer();
    if (!wait_for([&] { return consumer_->log().find("listening") != std::string::npos; })) {
      fail("the consumer does not start", *consumer_);
    }
  }

  void idle() {
    const double none = memory_kib(consumer_->pid(), "VmRSS");
    connect(gateways_ / 10);
    const double some = memory_kib(consumer_->pid(), "VmRSS");
    const auto begin = Clock::now();
    connect(gateways_);
    const double took = seconds_since(begin);
    const double all = memory_kib(consumer_->pid(), "VmRSS");
    std::printf(
        "{\"bench\": \"idle\", \"gateways\": %zu, \"rss_kib_none\": %.0f, \"rss_kib_tenth\": %.0f, "
        "\"rss_kib_all\": %.0f, \"kib_each\": %.1f, \"connect_s\": %.2f, \"asked_to_wait\": "
        "%llu}\n",
        gateways_, none, some, all, (all - none) / static_cast<double>(gateways_), took,
        static_cast<unsigned long long>(fleet_.asked_to_wait()));
  }

  void live() {
    constexpr int kSeconds = 10;
    const auto begin = Clock::now();
    std::size_t sent = 0;
    fleet_.run_for(std::chrono::seconds(kSeconds), [&] {
      const auto due =
          static_cast<std::size_t>(seconds_since(begin) * static_cast<double>(gateways_));
      for (; sent < due; ++sent) fleet_.append(sent % gateways_, 1);
    });
    deliver();
    std::vector<double> all;
    for (std::size_t i = 0; i < gateways_; ++i) {
      const auto some = fleet_.take_latencies_ms(i);
      all.insert(all.end(), some.begin(), some.end());
    }
    std::printf(
        "{\"bench\": \"live\", \"records_per_s\": %.0f, \"ack_ms_p50\": %.1f, \"ack_ms_p99\": "
        "%.1f, "
        "\"rss_kib\": %.0f}\n",
        static_cast<double>(sent) / seconds_since(begin), quantile(all, 0.5), quantile(all, 0.99),
        memory_kib(consumer_->pid(), "VmRSS"));
  }

  void beside() {
    constexpr std::size_t kBulk = 10;
    constexpr int kBlocks = 200;
    for (std::size_t i = 0; i < kBulk; ++i) {
      for (int block = 0; block < kBlocks; ++block) fleet_.append(i, 1000);
    }
    const std::size_t small = gateways_ - 1;
    const auto begin = Clock::now();
    int sent = 0;
    while (left(kBulk) > 0) {
      fleet_.run_for(std::chrono::milliseconds(20), [] {});
      if (left(kBulk) > 0) fleet_.append(small, 1), ++sent;
    }
    const double took = seconds_since(begin);
    deliver();
    const auto latencies = fleet_.take_latencies_ms(small);
    for (std::size_t i = 0; i < kBulk; ++i) static_cast<void>(fleet_.take_latencies_ms(i));
    std::printf(
        "{\"bench\": \"beside\", \"bulk_records_per_s\": %.0f, \"small_records\": %d, "
        "\"small_ack_ms_p50\": %.1f, \"small_ack_ms_p99\": %.1f, \"small_ack_ms_max\": %.1f}\n",
        kBulk * kBlocks * 1000 / took, sent, quantile(latencies, 0.5), quantile(latencies, 0.99),
        quantile(latencies, 1));
  }

  void backlog() {
    constexpr int kBlocks = 20;
    for (std::size_t i = 0; i < gateways_; ++i) {
      for (int block = 0; block < kBlocks; ++block) fleet_.append(i, 100);
    }
    const auto begin = Clock::now();
    deliver();
    std::printf(
        "{\"bench\": \"backlog\", \"records_per_s\": %.0f, \"rss_kib\": %.0f, \"rss_kib_max\": "
        "%.0f}\n",
        static_cast<double>(gateways_) * kBlocks * 100 / seconds_since(begin),
        memory_kib(consumer_->pid(), "VmRSS"), memory_kib(consumer_->pid(), "VmHWM"));
  }

  /// "wrote N transactions" is the consumer's last word.
  [[nodiscard]] static unsigned long long transactions_of(const std::string& log) {
    const auto at = log.rfind("wrote ");
    return at == std::string::npos ? 0 : std::strtoull(log.c_str() + at + 6, nullptr, 10);
  }

  void storm() {
    consumer_->signal(SIGTERM);
    static_cast<void>(consumer_->wait());
    const auto transactions = transactions_of(consumer_->log());
    if (!fleet_.run_until([&] { return fleet_.streaming() == 0; })) fail("still up?", *consumer_);
    const auto asked = fleet_.asked_to_wait();
    for (std::size_t i = 0; i < gateways_; ++i) fleet_.append(i, 10);
    consumer_ = site_.start_consumer();
    const auto begin = Clock::now();
    connect(gateways_);
    const double all = seconds_since(begin);
    deliver();
    std::printf(
        "{\"bench\": \"storm\", \"transactions_before\": %llu, \"streaming_s\": %.2f, "
        "\"delivered_s\": %.2f, \"asked_to_wait\": "
        "%llu}\n",
        transactions, all, seconds_since(begin),
        static_cast<unsigned long long>(fleet_.asked_to_wait() - asked));
  }

 private:
  void connect(std::size_t count) {
    fleet_.connect(count);
    if (!fleet_.run_until([&] { return fleet_.streaming() == count; })) {
      fail("not all gateways could connect", *consumer_);
    }
  }
  void deliver() {
    if (!fleet_.run_until([&] { return fleet_.delivered(); }, std::chrono::seconds(600))) {
      fail("not everything was delivered", *consumer_);
    }
  }
  [[nodiscard]] std::uint64_t left(std::size_t count) const {
    std::uint64_t records = 0;
    for (std::size_t i = 0; i < count; ++i)
      records += fleet_.next_offset(i) - fleet_.acknowledged(i);
    return records;
  }

  std::size_t gateways_;
  Site site_;
  std::uint16_t port_;
  Fleet fleet_;
  std::unique_ptr<Process> consumer_;
};

int run(std::size_t gateways) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  Bench bench(gateways);
  bench.idle();
  std::fflush(stdout);
  bench.live();
  std::fflush(stdout);
  bench.beside();
  std::fflush(stdout);
  bench.backlog();
  std::fflush(stdout);
  bench.storm();
  return 0;
}

}  // namespace
}  // namespace spillway::uplink::test

int main(int argc, char** argv) {
  std::size_t gateways = 1000;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--gateways") == 0 && i + 1 < argc) {
      gateways = std::strtoul(argv[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: bench_gateways [--gateways N]\n");
      return 2;
    }
  }
  if (gateways < 20) {
    std::fprintf(stderr, "bench_gateways: at least 20 gateways\n");
    return 2;
  }
  return spillway::uplink::test::run(gateways);
}
