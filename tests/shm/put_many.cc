// Puts N records of 64 bytes into one 64 MiB lane and ends: no_syscall_test.py counts its system
// calls.
#include <cstdio>
#include <cstdlib>
#include <span>

#include "spillway/producer.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: put_many QUEUE_DIR COUNT\n");
    return 2;
  }
  const long count = std::strtol(argv[2], nullptr, 10);
  spillway::Producer producer;
  const auto status = producer.open(argv[1], "bench/many", {.lane_bytes = 64U << 20});
  if (status != spillway::Status::kOk) {
    std::fprintf(stderr, "%s\n", spillway::error_detail());
    return 3;
  }
  std::byte record[64] = {};
  for (long i = 0; i < count; ++i) {
    if (producer.put(record) != spillway::Status::kOk) {
      std::fprintf(stderr, "record %ld was refused\n", i);
      return 1;
    }
  }
  return 0;
}
