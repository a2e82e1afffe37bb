// bench_link STEP [--spill DIR] [--queue DIR] [--database FILE] [--records N] [--batch N] [--rate HZ]:
// one step of the link's bench (steps.h), for bench/link.py.
#include <time.h>

#include <charconv>
#include <cstring>
#include <span>
#include <string_view>

#include "bench/harness/cores.h"
#include "bench/link/steps.h"

namespace spillway::bench {

std::uint64_t boottime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void make_link_record(std::uint64_t number, std::byte* record) {
  std::uint64_t words[4] = {number, 0, 0, 0};
  std::uint64_t state = number;
  for (std::size_t i = 1; i < 4; ++i) {
    // SplitMix64 (Steele, Lea, Flood 2014): what no compressor can guess.
    std::uint64_t mixed = (state += 0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    words[i] = mixed ^ (mixed >> 31);
  }
  std::memcpy(record, words, sizeof words);
  std::memset(record + sizeof words, 0x5A, kLinkRecordBytes - sizeof words);
}

namespace {

LinkStep read_step(std::span<char*> words) {
  LinkStep step;
  for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
    const std::string_view flag = words[i];
    const std::string_view value = words[i + 1];
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    if (flag == "--spill") step.spill = value;
    if (flag == "--queue") step.queue = value;
    if (flag == "--database") step.database = value;
    if (flag == "--records") step.records = number;
    if (flag == "--batch") step.batch = number;
    if (flag == "--rate") step.rate_hz = number;
  }
  return step;
}

void run(std::span<char*> words) {
  const std::string_view name = words.size() > 1 ? words[1] : "";
  const LinkStep step = read_step(words);
  if (step.records == 0) die("bench_link: --records is missing");
  if (name == "fill") return fill_spill(step);
  if (name == "insert") return insert_bare(step);
  if (name == "produce") return produce_paced(step);
  if (name == "watch") return watch_inbox(step);
  die("bench_link: the steps are fill, insert, produce and watch");
}

}  // namespace
}  // namespace spillway::bench

int main(int argc, char** argv) { spillway::bench::run({argv, static_cast<std::size_t>(argc)}); }
