#include "core/sandbox/call_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>

namespace spillway::core::sandbox {

namespace {

static_assert(std::endian::native == std::endian::little, "an argument's low half comes first");

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#elif defined(__arm__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_ARM;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_RISCV64;
#else
constexpr std::uint32_t kArchitecture = 0;  // none that was tried
#endif

constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t kIfEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t kIfAbove = BPF_JMP | BPF_JGT | BPF_K;
constexpr std::uint16_t kIfAnyBit = BPF_JMP | BPF_JSET | BPF_K;
constexpr std::uint16_t kReturn = BPF_RET | BPF_K;

constexpr std::uint32_t refusal(int errno_value) {
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(errno_value) & SECCOMP_RET_DATA);
}

constexpr std::uint32_t offset_of(unsigned argument) {
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args) +
                                    argument * sizeof(std::uint64_t));
}

}  // namespace

CallFilter::CallFilter(int foreign_errno) {
  add(kLoad, offsetof(seccomp_data, arch));
  add(kIfEqual, kArchitecture, 1, 0);
  add(kReturn, foreign_errno == 0 ? SECCOMP_RET_ALLOW : refusal(foreign_errno));
  load_call();
}

void CallFilter::add(std::uint16_t code, std::uint32_t k, std::uint8_t jump_true,
                     std::uint8_t jump_false) {
  program_.push_back({code, jump_true, jump_false, k});
}

void CallFilter::load_call() { add(kLoad, offsetof(seccomp_data, nr)); }

void CallFilter::refuse_above(std::uint32_t newest, int errno_value) {
#ifdef __ARM_NR_BASE
  // The thread pointer and the caches have calls of their own, far above.
  add(kIfAbove, __ARM_NR_BASE + 0xFF, 2, 0);
  add(kIfAbove, __ARM_NR_BASE - 1, 2, 0);
#endif
  add(kIfAbove, newest, 0, 1);
  add(kReturn, refusal(errno_value));
}

void CallFilter::refuse(std::span<const int> calls, int errno_value) {
  for (const int call : calls) {
    add(kIfEqual, static_cast<std::uint32_t>(call), 0, 1);
    add(kReturn, refusal(errno_value));
  }
}

void CallFilter::refuse_bits(int call, unsigned argument, std::uint32_t bits, int errno_value) {
  add(kIfEqual, static_cast<std::uint32_t>(call), 0, 4);
  add(kLoad, offset_of(argument));
  add(kIfAnyBit, bits, 0, 1);
  add(kReturn, refusal(errno_value));
  load_call();
}

void CallFilter::allow_only(int call, unsigned argument, std::span<const std::uint32_t> values,
                            int errno_value) {
  const auto count = static_cast<std::uint8_t>(values.size());
  add(kIfEqual, static_cast<std::uint32_t>(call), 0, static_cast<std::uint8_t>(count + 3));
  add(kLoad, offset_of(argument));
  for (std::uint8_t i = 0; i < count; ++i) {
    add(kIfEqual, values[i], static_cast<std::uint8_t>(count - i), 0);
  }
  add(kReturn, refusal(errno_value));
  load_call();
}

int CallFilter::install(bool logged) {
  if (kArchitecture == 0) return ENOTSUP;
  auto program = program_;
  program.push_back({kReturn, 0, 0, SECCOMP_RET_ALLOW});
  sock_fprog whole{static_cast<unsigned short>(program.size()), program.data()};
  unsigned flags = SECCOMP_FILTER_FLAG_TSYNC;
  if (logged) flags |= SECCOMP_FILTER_FLAG_LOG;
  long outcome = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &whole);
  if (outcome < 0 && errno == EINVAL && logged) {  // before Linux 4.14 nothing is logged
    outcome = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &whole);
  }
  if (outcome == 0) return 0;
  return outcome < 0 ? errno : EBUSY;  // a thread that cannot be taken in
}

}  // namespace spillway::core::sandbox
