// Preloaded into a daemon: at SIGUSR2 a child of whichever thread takes the signal, and so with that thread's sandbox,
// tries what a daemon that somebody has taken over would try, and appends "pid call errno" lines (0: it was let) to the
// file of SANDBOX_PROBE_OUT, which is opened before main() and so before any sandbox. SANDBOX_PROBE_PATHS: files to be
// opened for writing, parted by ':'. Each call is one that anybody may make, so that only a sandbox refuses it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int out = -1;

static void note(const char* name, long result) {
  dprintf(out, "%d %s %d\n", getppid(), name, result < 0 ? errno : 0);
}

static void try_sockets(void) {
  note("socket:unix", socket(AF_UNIX, SOCK_STREAM, 0));
  note("socket:inet6", socket(AF_INET6, SOCK_DGRAM, 0));
  note("socket:netlink", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  note("socket:vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  int inet = socket(AF_INET, SOCK_STREAM, 0);
  note("socket:inet", inet);
  if (inet < 0) return;
  note("listen", listen(inet, 1));
  struct sockaddr_in nobody = {
      .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  // Refused by the far end is as good as let.
  const int other = socket(AF_INET, SOCK_STREAM, 0);
  const int reached = connect(other, (struct sockaddr*)&nobody, sizeof(nobody));
  note("connect", reached < 0 && errno == ECONNREFUSED ? 0 : reached);
}

static void try_program(void) {
  const pid_t child = fork();
  if (child == 0) {
    char* arguments[] = {"true", NULL};
    char* none[] = {NULL};
    execve("/bin/true", arguments, none);
    _exit(errno);
  }
  int status = 0;
  waitpid(child, &status, 0);
  errno = WEXITSTATUS(status);
  note("execve", errno == 0 ? 0 : -1);
}

static void try_rights(void) {
  char byte = 0, copy = 0;
  struct iovec from = {&byte, 1}, to = {&copy, 1};
  note("process_vm_readv", process_vm_readv(getpid(), &to, 1, &from, 1, 0));
  note("setuid", setuid(getuid()));
  note("unshare", unshare(CLONE_FS));
  note("personality", personality(0xffffffff));
  errno = 0;
  // Without arguments a kernel that has them says EINVAL or EFAULT.
  note("clone3", syscall(SYS_clone3, NULL, 0));
  note("io_uring_setup", syscall(425, 0, NULL));
  note("openat2", syscall(437, AT_FDCWD, "/", NULL, 0));
  note("bpf", syscall(SYS_bpf, -1, NULL, 0));
  note("namespace", syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD, NULL, NULL, NULL, NULL));
  note("newest_call", syscall(451 + 1000));
  note("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

#ifdef __x86_64__
static void try_foreign_call(void) {
  const pid_t child = fork();
  if (child == 0) {
    long result = 20;  // getpid, as the 32-bit machine counts
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    _exit(result > 0 ? 0 : (int)-result);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return;  // this kernel has none
  errno = WEXITSTATUS(status);
  note("foreign_call", errno == 0 ? 0 : -1);
}
#else
static void try_foreign_call(void) {}
#endif

static void try_file(const char* path) {
  char name[4200], other[4200];
  snprintf(name, sizeof(name), "open:%s", path);
  const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  note(name, file);
  snprintf(name, sizeof(name), "chmod:%s", path);
  note(name, chmod(path, 0640));
  snprintf(name, sizeof(name), "truncate:%s", path);
  struct stat status = {0};
  stat(path, &status);
  note(name, truncate(path, status.st_size));
  snprintf(name, sizeof(name), "mkdir:%s", path);
  snprintf(other, sizeof(other), "%s.directory", path);
  note(name, mkdir(other, 0700));
  rmdir(other);
  snprintf(name, sizeof(name), "rename:%s", path);
  snprintf(other, sizeof(other), "%s.moved", path);
  if (rename(path, other) == 0) {
    rename(other, path);
    errno = 0;
    note(name, 0);
  } else {
    note(name, -1);
  }
}

static void try_all(int signal) {
  (void)signal;
  const int kept = errno;
  const pid_t child = fork();
  if (child == 0) {
    try_sockets();
    try_program();
    char* paths = getenv("SANDBOX_PROBE_PATHS");
    for (char* path = paths ? strtok(paths, ":") : NULL; path != NULL; path = strtok(NULL, ":"))
      try_file(path);
    try_foreign_call();
    try_rights();
    note("end", 0);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  errno = kept;
}

__attribute__((constructor)) static void arm(void) {
  const char* path = getenv("SANDBOX_PROBE_OUT");
  if (path == NULL) return;
  out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  signal(SIGUSR2, try_all);
}
