// One measurement of one subject: bench_latency SUBJECT [OPTIONS]; a JSON line on stdout.
//
//   --list            every subject that was built
//   --size BYTES      64
//   --mode all        operation by operation, back to back, one way; or per-op, paced, instructions
//   --queue DIR       a running agent's queue: it drains, not the bench
//   --scratch DIR     a folder in memory for what the subject needs
//   --ms N --gap-ns N --count N --hz N --producers N
//
// bench.py runs it; so may anybody by hand. Exit codes: 0; 1 failed; 77 cannot be measured here.
#include <charconv>
#include <string_view>

#include "bench/harness/run_peer.h"

namespace {

using spillway::bench::die;
using spillway::bench::JsonLine;
using spillway::bench::Options;

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    die("bench_latency: '" + std::string(text) + "' is not a number", 2);
  }
  return value;
}

void set_option(Options& options, std::string_view key, std::string_view value) {
  if (key == "--size")
    options.setup.record_bytes = number_of(value);
  else if (key == "--mode")
    options.mode = value;
  else if (key == "--queue")
    options.setup.queue = value;
  else if (key == "--scratch")
    options.setup.scratch = value;
  else if (key == "--ms")
    options.duration_ms = number_of(value);
  else if (key == "--gap-ns")
    options.gap_ns = number_of(value);
  else if (key == "--count")
    options.count = number_of(value);
  else if (key == "--hz")
    options.hz = number_of(value);
  else if (key == "--producers")
    options.producers = number_of(value);
  else
    die("bench_latency: no option '" + std::string(key) + "'", 2);
}

Options parse(int argc, char** argv) {
  if (argc < 2) die("usage: bench_latency SUBJECT|--list [OPTIONS]", 2);
  Options options;
  options.subject = argv[1];
  for (int i = 2; i < argc; i += 2) {
    if (i + 1 == argc) die(std::string("bench_latency: ") + argv[i] + " wants a value", 2);
    set_option(options, argv[i], argv[i + 1]);
  }
  if (options.setup.record_bytes < 16) die("bench_latency: a record has at least 16 bytes", 2);
  if (options.hz == 0) die("bench_latency: --hz is at least 1", 2);
  return options;
}

void list() {
  for (const auto& peer : spillway::bench::peers()) {
    JsonLine json;
    json.add("subject", peer.facts.name);
    json.add("settings", peer.facts.settings);
    json.add("guarantee", peer.facts.guarantee);
    json.add("unread_sends_max", std::uint64_t{peer.facts.unread_sends_max});
    json.print();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.subject == "--list") {
    list();
    return 0;
  }
  for (const auto& peer : spillway::bench::peers()) {
    if (options.subject != peer.facts.name) continue;
    JsonLine json;
    peer.run(options, json);
    json.print();
    return 0;
  }
  die("bench_latency: no subject '" + options.subject + "' was built: see --list", 2);
}
