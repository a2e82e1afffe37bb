// Which system calls belong to which of sandbox.h's rules. Private to core/sandbox.
//
// Of calls that not every architecture or kernel has, those that the headers know.
#pragma once

#include <sys/syscall.h>

#include <cstdint>

namespace spillway::core::sandbox {

/// The newest call of the kernel whose headers this list was written beside (Linux 6.1); all architectures
/// count alike from 403 on.
constexpr std::uint32_t kNewestCall = 450;

constexpr int kRefusedToAll[] = {
    // another program
    SYS_execve, SYS_execveat,
// other processes. LeakSanitizer reads its own process by ptrace.
#if !defined(__SANITIZE_ADDRESS__)
    SYS_ptrace,
#endif
    SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, 438 /* pidfd_getfd */,
    440 /* process_madvise */,
    // the machine
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, 428 /* open_tree */, 429 /* move_mount */,
    430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */,
    442 /* mount_setattr */, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
    SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, 443 /* quotactl_fd */,
    SYS_sethostname, SYS_setdomainname, SYS_syslog, SYS_vhangup, SYS_settimeofday,
    SYS_clock_settime,
#ifdef SYS_clock_settime64
    SYS_clock_settime64,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
#ifdef SYS_mknod
    SYS_mknod,
#endif
    SYS_mknodat, SYS_add_key, SYS_request_key, SYS_keyctl,
    // other rights
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid,
    SYS_setfsgid, SYS_setgroups,
#ifdef SYS_setuid32
    SYS_setuid32, SYS_setgid32, SYS_setreuid32, SYS_setregid32, SYS_setresuid32, SYS_setresgid32,
    SYS_setfsuid32, SYS_setfsgid32, SYS_setgroups32,
#endif
    SYS_capset, SYS_unshare, SYS_setns, SYS_personality,
    // ways around
    425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */, SYS_bpf,
    SYS_perf_event_open, SYS_userfaultfd, SYS_name_to_handle_at, SYS_open_by_handle_at};

/// Answered as by a kernel that does not have it, so that the C library takes clone, whose flags can be seen.
constexpr int kHiddenFromAll[] = {SYS_clone3};

constexpr int kServing[] = {SYS_listen, SYS_accept4,
#ifdef SYS_accept
                            SYS_accept
#endif
};

/// Whatever changes a name, or what a name stands for, without a descriptor that was opened for writing.
constexpr int kNameChanges[] = {
#ifdef SYS_creat
    SYS_creat,
#endif
#ifdef SYS_rename
    SYS_rename,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_unlink
    SYS_unlink,     SYS_rmdir,       SYS_mkdir,        SYS_link,
    SYS_symlink,    SYS_chmod,       SYS_chown,        SYS_lchown,
#endif
#ifdef SYS_truncate64
    SYS_truncate64,
#endif
#ifdef SYS_chown32
    SYS_chown32,    SYS_lchown32,    SYS_fchown32,
#endif
    SYS_renameat2,  SYS_unlinkat,    SYS_mkdirat,      SYS_linkat,
    SYS_symlinkat,  SYS_truncate,    SYS_fchmod,       SYS_fchmodat,
    SYS_fchown,     SYS_fchownat,    SYS_setxattr,     SYS_lsetxattr,
    SYS_fsetxattr,  SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr};

/// Its flags stand where no filter can read them.
constexpr int kHiddenFromReaders[] = {437 /* openat2 */};

}  // namespace spillway::core::sandbox
