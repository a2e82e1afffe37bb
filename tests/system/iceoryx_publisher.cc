// An iceoryx publisher as there are many: knows nothing of Spillway. Its samples can be computed from
// their numbers, so that a test can tell each byte of them.
//
//   u64 incarnation, u64 number, then (number * 37) % 200 bytes of (incarnation * 7 + number + i) % 256
//
// How many it has published stands in a mapped file, which a kill -9 leaves right to within one.
// With --latency-of CONTROL it publishes one at a time and prints after what time the stream's control
// page (docs/format.md) shows the record.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <iostream>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string service = "Radar", instance = "Front", event = "Object";
  std::string tally, latency_of;
  std::uint64_t incarnation = 0, count = 0, history = 0;
  double rate = 0;
  bool wait_for_consumer = false, no_wait = false, linger = false;
};

constexpr std::uint64_t kHeaderBytes = 16;
constexpr std::uint64_t kNextOffsetAt = 40;  // in the control page
constexpr std::chrono::seconds kWatchdog{60};

template <typename Condition>
void wait_for(Condition condition, const char* what) {
  const auto give_up = Clock::now() + kWatchdog;
  while (!condition()) {
    if (Clock::now() > give_up) {
      std::cerr << "waited in vain: " << what << '\n';
      std::_Exit(3);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void* map_file(const std::string& path, int flags, int protection) {
  const int descriptor = ::open(path.c_str(), flags, 0600);
  if (descriptor < 0 || ((flags & O_CREAT) != 0 && ::ftruncate(descriptor, 4096) != 0)) {
    std::cerr << "cannot open " << path << '\n';
    std::_Exit(3);
  }
  void* const address = ::mmap(nullptr, 4096, protection, MAP_SHARED, descriptor, 0);
  ::close(descriptor);
  if (address == MAP_FAILED) std::_Exit(3);
  return address;
}

class Publisher {
 public:
  explicit Publisher(const Options& options)
      : options_(options),
        publisher_({id(options.service), id(options.instance), id(options.event)},
                   port_options(options)) {
    if (!options.tally.empty()) {
      tally_ = static_cast<std::atomic<std::uint64_t>*>(
          map_file(options.tally, O_RDWR | O_CREAT, PROT_READ | PROT_WRITE));
    }
    if (!options.no_wait) wait_for([&] { return publisher_.hasSubscribers(); }, "a subscriber");
  }

  void publish() {
    const std::uint64_t size = kHeaderBytes + number_ * 37 % 200;
    wait_for([&] { return try_publish(size); }, "a chunk");
    ++number_;
    if (tally_ != nullptr) tally_->store(number_);
  }
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  static iox::capro::IdString_t id(const std::string& text) {
    return {iox::cxx::TruncateToCapacity, text};
  }
  static iox::popo::PublisherOptions port_options(const Options& options) {
    iox::popo::PublisherOptions port;
    port.historyCapacity = options.history;
    if (options.wait_for_consumer) {
      port.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    }
    return port;
  }
  bool try_publish(std::uint64_t size) {
    auto loaned = publisher_.loan(static_cast<std::uint32_t>(size));
    if (loaned.has_error()) return false;
    auto* const bytes = static_cast<unsigned char*>(loaned.value());
    std::memcpy(bytes, &options_.incarnation, 8);
    std::memcpy(bytes + 8, &number_, 8);
    for (std::uint64_t i = kHeaderBytes; i < size; ++i) {
      bytes[i] = static_cast<unsigned char>(options_.incarnation * 7 + number_ + i - kHeaderBytes);
    }
    publisher_.publish(loaned.value());
    return true;
  }

  const Options& options_;
  iox::popo::UntypedPublisher publisher_;
  std::atomic<std::uint64_t>* tally_ = nullptr;
  std::uint64_t number_ = 0;
};

void publish_all(Publisher& publisher, const Options& options) {
  const auto start = Clock::now();
  while (options.count == 0 || publisher.number() < options.count) {
    publisher.publish();
    if (options.rate <= 0) continue;
    const std::chrono::duration<double> due(static_cast<double>(publisher.number()) / options.rate);
    std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(due));
  }
}

void measure_latency(Publisher& publisher, const Options& options) {
  const auto* const page =
      static_cast<const char*>(map_file(options.latency_of, O_RDONLY, PROT_READ));
  const auto* const next =
      reinterpret_cast<const std::atomic<std::uint64_t>*>(page + kNextOffsetAt);
  std::vector<double> took_us;
  while (publisher.number() < options.count) {
    const std::uint64_t before = next->load();
    const auto start = Clock::now();
    publisher.publish();
    while (next->load() == before && Clock::now() - start < kWatchdog) {
    }
    took_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    // Not in step with the agent's naps.
    std::this_thread::sleep_for(
        std::chrono::microseconds(7'000 + publisher.number() * 911 % 9'000));
  }
  std::sort(took_us.begin(), took_us.end());
  const auto at = [&](double part) {
    return took_us[static_cast<std::size_t>(part * static_cast<double>(took_us.size() - 1))];
  };
  std::cout << "{\"samples\": " << took_us.size() << ", \"p50_us\": " << at(0.5)
            << ", \"p99_us\": " << at(0.99) << ", \"max_us\": " << took_us.back() << "}\n";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Publishes samples whose every byte can be computed."};
  Options options;
  app.add_option("--service", options.service);
  app.add_option("--instance", options.instance);
  app.add_option("--event", options.event);
  app.add_option("--incarnation", options.incarnation);
  app.add_option("--count", options.count, "0: without end");
  app.add_option("--rate", options.rate, "samples a second; 0: as fast as it goes");
  app.add_option("--history", options.history);
  app.add_option("--tally", options.tally);
  app.add_option("--latency-of", options.latency_of);
  app.add_flag("--wait-for-consumer", options.wait_for_consumer);
  app.add_flag("--no-wait", options.no_wait, "do not wait for a subscriber before the first one");
  app.add_flag("--linger", options.linger, "stay until killed, so that samples are not taken away");
  CLI11_PARSE(app, argc, argv);
  const std::string name = "publisher-" + std::to_string(::getpid());
  iox::runtime::PoshRuntime::initRuntime({iox::cxx::TruncateToCapacity, name});
  Publisher publisher(options);
  if (options.latency_of.empty()) {
    publish_all(publisher, options);
  } else {
    measure_latency(publisher, options);
  }
  std::cout << "published " << publisher.number() << std::endl;
  while (options.linger) ::pause();
}
