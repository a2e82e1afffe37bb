/* failing_disk: makes the disk fail under a real daemon (LD_PRELOAD), when and as long as a test wants.
 *
 * SPILLWAY_FAULT_PAGE names a file of at least 32 bytes that the test writes and this maps:
 *   u32 errno for fdatasync and fsync, u32 errno for writes, u32 errno for reads (0: works), u32 unused,
 *   u64 how many calls were failed.
 * Only files below SPILLWAY_FAULT_DIR fail. Everything else goes to libc unchanged.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fault_page {
  volatile uint32_t sync_errno, write_errno, read_errno, unused;
  volatile uint64_t failed;
};

static struct fault_page* page_of_test(void) {
  static struct fault_page* page;
  const char* path = getenv("SPILLWAY_FAULT_PAGE");
  if (page != NULL || path == NULL) return page;
  const int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return NULL;
  void* map = mmap(NULL, sizeof(struct fault_page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (map != MAP_FAILED) page = map;
  return page;
}

static int is_on_the_disk(int file) {
  const char* folder = getenv("SPILLWAY_FAULT_DIR");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (folder == NULL || size < 0) return 0;
  path[size] = '\0';
  return strncmp(path, folder, strlen(folder)) == 0;
}

/* 1: the call fails with errno set. */
static int fails(int file, uint32_t wanted) {
  if (wanted == 0 || !is_on_the_disk(file)) return 0;
  __atomic_add_fetch(&page_of_test()->failed, 1, __ATOMIC_RELAXED);
  errno = (int)wanted;
  return 1;
}

#define WANTED(field) (page_of_test() == NULL ? 0 : page_of_test()->field)
/* A data pointer becomes a function pointer the way POSIX says. */
#define PASS_ON(name, ...)                    \
  __typeof__(&name) real;                     \
  *(void**)(&real) = dlsym(RTLD_NEXT, #name); \
  return real(__VA_ARGS__)

int fdatasync(int file) {
  if (fails(file, WANTED(sync_errno))) return -1;
  PASS_ON(fdatasync, file);
}

int fsync(int file) {
  if (fails(file, WANTED(sync_errno))) return -1;
  PASS_ON(fsync, file);
}

ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t at) {
  if (fails(file, WANTED(write_errno))) return -1;
  PASS_ON(pwrite64, file, bytes, size, at);
}

ssize_t pread64(int file, void* bytes, size_t size, off64_t at) {
  if (fails(file, WANTED(read_errno))) return -1;
  PASS_ON(pread64, file, bytes, size, at);
}
