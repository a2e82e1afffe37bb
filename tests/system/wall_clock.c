/*
 * For LD_PRELOAD: a process with this library sees another wall clock. The file $WALL_CLOCK holds a
 * signed 64-bit number: by so many nanoseconds it is off. The kernel calls it not synchronised, so
 * that only what it says decides whether it is believed. Other clocks stay as they are.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* off_by(void) {
  static const volatile int64_t* mapped;
  if (mapped == NULL) {
    const char* path = getenv("WALL_CLOCK");
    const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void* at = mmap(NULL, sizeof *mapped, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) abort();
    mapped = at;
  }
  return mapped;
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  const int64_t second = 1000000000;
  int64_t ns;
  if (syscall(SYS_clock_gettime, clock, time) != 0) return -1;
  if (clock != CLOCK_REALTIME) return 0;
  ns = time->tv_sec * second + time->tv_nsec + *off_by();
  time->tv_sec = ns / second;
  time->tv_nsec = ns % second;
  return 0;
}

/* TLS asks these two. */
time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* now, void* zone) {
  struct timespec time;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

int adjtimex(struct timex* state) {
  state->status = STA_UNSYNC;
  return TIME_ERROR;
}
