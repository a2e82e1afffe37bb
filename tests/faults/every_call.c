/*
 * every_call QUEUE_DIR SPILL_DIR STREAM TOPIC: a C99 program that uses every function of spillway.h
 * against a running agent: puts records in each way there is, waits for them to be power-safe, reads
 * them back, and says "read N records back". Compiled as strict C99, so that the header is.
 */
#include <stdio.h>
#include <string.h>

#include "spillway/spillway.h"

enum { kSingles = 100, kBatch = 7, kRecords = 2 * kSingles + kBatch };
static const uint64_t kPatience_ns = 30000000000ULL;

static int complain(const char* what, spillway_status status) {
  fprintf(stderr, "every_call: %s: %s (%s)\n", what, spillway_status_text(status),
          spillway_error_detail());
  return 3;
}

/* Record i is its number and as many letters. */
static size_t fill(char* room, int number) {
  const int digits = sprintf(room, "%d:", number);
  memset(room + digits, 'a' + number % 26, (size_t)number);
  return (size_t)(digits + number);
}

static spillway_status put_batch(spillway_producer* producer, int first) {
  static char storage[kBatch][512];
  spillway_bytes records[kBatch];
  size_t accepted = 0;
  spillway_status status;
  int i;
  for (i = 0; i < kBatch; ++i) {
    records[i].data = storage[i];
    records[i].size = fill(storage[i], first + i);
  }
  status = spillway_producer_put_many(producer, records, kBatch, &accepted);
  return status == SPILLWAY_OK && accepted != kBatch ? SPILLWAY_FULL : status;
}

static spillway_status put_all(spillway_producer* producer) {
  char record[512];
  int i;
  for (i = 0; i < kSingles; ++i) {
    const spillway_status status = spillway_producer_put(producer, record, fill(record, i));
    if (status != SPILLWAY_OK) return status;
  }
  for (; i < 2 * kSingles; ++i) {
    void* room = NULL;
    spillway_status status = spillway_producer_claim(producer, sizeof(record), &room);
    if (status != SPILLWAY_OK) return status;
    status = spillway_producer_commit(producer, fill((char*)room, i));
    if (status != SPILLWAY_OK) return status;
  }
  return put_batch(producer, i);
}

static int produce(const char* queue, const char* topic) {
  spillway_producer_options options;
  spillway_producer* producer = NULL;
  spillway_status status;
  char too_large[1] = {0};
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.producer_name = "every-call";
  options.max_record_bytes = 512;
  status = spillway_producer_open(queue, topic, &options, &producer);
  if (status != SPILLWAY_OK) return complain("open", status);
  status = put_all(producer);
  if (status != SPILLWAY_OK) return complain("put", status);
  status = spillway_producer_put(producer, too_large, 513);
  if (status != SPILLWAY_TOO_LARGE || spillway_producer_rejected(producer) != 1) {
    return complain("a record that is too large", status);
  }
  status = spillway_producer_flush(producer, SPILLWAY_PROCESS_SAFE, kPatience_ns);
  if (status == SPILLWAY_OK) {
    status = spillway_producer_flush(producer, SPILLWAY_POWER_SAFE, kPatience_ns);
  }
  if (status != SPILLWAY_OK) return complain("flush", status);
  if (spillway_producer_reached(producer) != SPILLWAY_POWER_SAFE) {
    return complain("the level reached", SPILLWAY_SYSTEM);
  }
  spillway_producer_close(producer);
  spillway_producer_close(NULL);
  return 0;
}

static int read_back(const char* spill, const char* stream, const char* topic) {
  spillway_reader* reader = NULL;
  spillway_record record;
  char expected[512];
  int count = 0;
  spillway_status status = spillway_reader_open(spill, stream, 0, &reader);
  if (status != SPILLWAY_OK) return complain("open the spill", status);
  for (;;) {
    status = spillway_reader_next(reader, &record);
    if (status != SPILLWAY_OK) break;
    if (strcmp(record.topic, topic) != 0) continue;
    if (record.size != fill(expected, count) || memcmp(record.data, expected, record.size) != 0 ||
        strcmp(record.producer, "every-call") != 0) {
      return complain("a record came back altered", SPILLWAY_CORRUPT);
    }
    ++count;
  }
  spillway_reader_close(reader);
  if (status != SPILLWAY_END) return complain("read", status);
  printf("read %d records back\n", count);
  return count == kRecords ? 0 : 3;
}

int main(int argc, char** argv) {
  int code;
  if (argc != 5) {
    fprintf(stderr, "usage: every_call QUEUE_DIR SPILL_DIR STREAM TOPIC\n");
    return 2;
  }
  code = produce(argv[1], argv[4]);
  return code != 0 ? code : read_back(argv[2], argv[3], argv[4]);
}
