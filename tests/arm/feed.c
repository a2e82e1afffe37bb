/*
 * arm_feed QUEUE_DIR TOPIC COUNT: puts COUNT records through the C ABI, waits until they are
 * process-safe, and prints "accepted N process-safe" on success. Record i has 1 + i % 300 bytes:
 * its number in decimal, then the letter of i % 26.
 *
 * In C, so that the public header is seen to be C; cross-built for 32-bit ARM, so that a producer
 * of another word size shares a queue with a 64-bit agent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spillway/spillway.h"

enum { kRecordBytesMax = 300, kFlushSeconds = 30 };

static size_t fill(char* record, unsigned long number) {
  const size_t size = 1 + number % kRecordBytesMax;
  char digits[24];
  const int used = snprintf(digits, sizeof(digits), "%lu", number);
  memset(record, 'a' + (int)(number % 26), size);
  memcpy(record, digits, (size_t)used < size ? (size_t)used : size);
  return size;
}

static int complain(const char* what, spillway_status status) {
  fprintf(stderr, "arm_feed: %s: %s (%s)\n", what, spillway_status_text(status),
          spillway_error_detail());
  return 3;
}

/* A full lane is the agent's to empty: ask for process safety with a bound, then try again. */
static spillway_status put_all(spillway_producer* producer, unsigned long count) {
  char record[kRecordBytesMax];
  unsigned long i = 0;
  while (i < count) {
    const size_t size = fill(record, i);
    spillway_status status = spillway_producer_put(producer, record, size);
    if (status == SPILLWAY_FULL) {
      status =
          spillway_producer_flush(producer, SPILLWAY_PROCESS_SAFE, kFlushSeconds * 1000000000ULL);
    } else {
      ++i;
    }
    if (status != SPILLWAY_OK) return status;
  }
  return spillway_producer_flush(producer, SPILLWAY_PROCESS_SAFE, kFlushSeconds * 1000000000ULL);
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: arm_feed QUEUE_DIR TOPIC COUNT\n");
    return 2;
  }
  const unsigned long count = strtoul(argv[3], NULL, 10);
  spillway_producer_options options;
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.producer_name = "arm-feed";
  options.lane_bytes = 64 * 1024; /* small, so that the ring wraps and fills */
  spillway_producer* producer = NULL;
  spillway_status status = spillway_producer_open(argv[1], argv[2], &options, &producer);
  if (status != SPILLWAY_OK) return complain("open", status);
  status = put_all(producer, count);
  if (status != SPILLWAY_OK) return complain("put", status);
  spillway_producer_close(producer);
  printf("accepted %lu process-safe\n", count);
  return 0;
}
