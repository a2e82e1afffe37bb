/*
 * libspillway, C ABI: put records into a Spillway queue, and read a spill.
 *
 * A producer is used by one thread at a time; open one for each thread and topic. No call after
 * open allocates memory, and none but those with a timeout makes a system call (a put wakes the
 * agent when it sleeps: one futex call then). No call touches errno's meaning for the caller,
 * throws, or ends the process.
 */
#ifndef SPILLWAY_SPILLWAY_H
#define SPILLWAY_SPILLWAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPILLWAY_EXPORT __attribute__((visibility("default")))

typedef enum spillway_status {
  SPILLWAY_OK = 0,
  SPILLWAY_FULL =
      1, /* the lane is full: the agent is behind, absent, or its stream is at its quota */
  SPILLWAY_TOO_LARGE = 2,     /* the record is larger than the lane takes */
  SPILLWAY_TIMEOUT = 3,       /* the deadline passed; what was committed stays committed */
  SPILLWAY_INVALID = 4,       /* an argument can never work */
  SPILLWAY_NO_QUEUE = 5,      /* there is no queue directory */
  SPILLWAY_PERMISSION = 6,    /* the queue directory does not let this user in */
  SPILLWAY_NO_SPACE = 7,      /* the file system of the queue directory is full */
  SPILLWAY_NEWER_VERSION = 8, /* written by a newer version */
  SPILLWAY_CLOSED = 9,        /* the producer is not open, or a child process uses its parent's */
  SPILLWAY_SET_ASIDE = 10,    /* the agent has set this lane aside: open a new one */
  SPILLWAY_SYSTEM = 11,       /* the system failed: see spillway_error_detail */
  SPILLWAY_CORRUPT = 12,      /* stored bytes break the format's rules */
  SPILLWAY_END = 13           /* a reader has nothing more for now */
} spillway_status;

typedef enum spillway_level {
  SPILLWAY_ACCEPTED = 0,     /* survives the producer's death */
  SPILLWAY_PROCESS_SAFE = 1, /* survives any process's death, the agent's too */
  SPILLWAY_POWER_SAFE = 2    /* survives power loss */
} spillway_level;

/* One line, for a person; never NULL. */
SPILLWAY_EXPORT const char* spillway_status_text(spillway_status status);
/* What exactly failed in this thread's last call that was not SPILLWAY_OK; "" if there is nothing
 * to add. */
SPILLWAY_EXPORT const char* spillway_error_detail(void);

typedef struct spillway_producer spillway_producer;

typedef struct spillway_producer_options {
  size_t struct_size; /* sizeof(spillway_producer_options); so that later versions can add fields */
  const char* producer_name;   /* up to 63 bytes; NULL: the program's name */
  uint64_t lane_bytes;         /* a power of two, 16 KiB .. 64 MiB; 0: 256 KiB */
  uint32_t max_record_bytes;   /* 0: 64 KiB; at most lane_bytes / 2 - 32 */
  uint64_t schema_fingerprint; /* 0: that of `schema`, or unknown */
  /* The records' FlatBuffers binary schema (flatc -b --schema), at most 64 KiB, so that the spill and
   * the far end can explain them; NULL: none. Read during open alone. */
  const void* schema;
  size_t schema_size;
} spillway_producer_options;

/* queue_dir NULL: $SPILLWAY_QUEUE_DIR, else /run/spillway, else $XDG_RUNTIME_DIR/spillway. options
 * NULL: defaults. */
SPILLWAY_EXPORT spillway_status spillway_producer_open(const char* queue_dir, const char* topic,
                                                       const spillway_producer_options* options,
                                                       spillway_producer** producer);
/* Copies a record in. Accepted when it returns SPILLWAY_OK. Never waits. */
SPILLWAY_EXPORT spillway_status spillway_producer_put(spillway_producer* producer,
                                                      const void* record, size_t size);
typedef struct spillway_bytes {
  const void* data;
  size_t size;
} spillway_bytes;
/* Copies `count` records in, in order, and shows them to the agent all at once, for about the cost
 * of the copies. *accepted (may be NULL) says how many went in; SPILLWAY_OK if all did, else why
 * the first that did not was refused. Those behind it are not tried. */
SPILLWAY_EXPORT spillway_status spillway_producer_put_many(spillway_producer* producer,
                                                           const spillway_bytes* records,
                                                           size_t count, size_t* accepted);
/* Room for a record of up to `size` bytes, 16-byte aligned; fill it, then commit with the size
 * used. Claiming again, or not committing, leaves nothing behind. */
SPILLWAY_EXPORT spillway_status spillway_producer_claim(spillway_producer* producer, size_t size,
                                                        void** room);
SPILLWAY_EXPORT spillway_status spillway_producer_commit(spillway_producer* producer, size_t size);
/* Waits until everything committed so far has reached `level`. timeout_ns 0: only asks. SPILLWAY_TOO_LARGE, once: it has,
   but for records that were larger than the stream's segments take; they are counted as rejected at the far end. */
SPILLWAY_EXPORT spillway_status spillway_producer_flush(spillway_producer* producer,
                                                        spillway_level level, uint64_t timeout_ns);
/* The level that everything committed so far has reached; after a flush that was late, too. */
SPILLWAY_EXPORT spillway_level spillway_producer_reached(const spillway_producer* producer);
/* Records refused so far (full or too large). */
SPILLWAY_EXPORT uint64_t spillway_producer_rejected(const spillway_producer* producer);
/* NULL is fine. What was committed stays for the agent. */
SPILLWAY_EXPORT void spillway_producer_close(spillway_producer* producer);

typedef struct spillway_reader spillway_reader;

typedef struct spillway_record {
  uint64_t offset;
  const void* data; /* good until the next call on this reader */
  size_t size;
  const char* topic;
  const char* producer;
  int64_t produced_at_ns; /* UTC; 0 if it cannot be known */
} spillway_record;

/* In libspillway-reader, which needs the core: kept apart so that a producer depends on nothing but
 * libc. */
SPILLWAY_EXPORT spillway_status spillway_reader_open(const char* spill_dir, const char* stream,
                                                     uint64_t from_offset,
                                                     spillway_reader** reader);
SPILLWAY_EXPORT spillway_status spillway_reader_next(spillway_reader* reader,
                                                     spillway_record* record);
SPILLWAY_EXPORT void spillway_reader_close(spillway_reader* reader);

#ifdef __cplusplus
}
#endif
#endif
