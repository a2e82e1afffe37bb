// CallFilter: a seccomp program, built rule by rule. Private to core/sandbox.
//
// Plain BPF, without a library: a rule is a system call's number and, where it counts, one argument's low
// 32 bits. The numbers are those of the architecture that this is compiled for.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

namespace spillway::core::sandbox {

class CallFilter {
 public:
  /// Calls of another architecture get `foreign_errno`; 0: this filter says nothing of them.
  explicit CallFilter(int foreign_errno);

  /// Every call with a number above `newest`.
  void refuse_above(std::uint32_t newest, int errno_value);
  void refuse(std::span<const int> calls, int errno_value);
  /// Where the argument has one of these bits.
  void refuse_bits(int call, unsigned argument, std::uint32_t bits, int errno_value);
  /// Where the argument is none of these.
  void allow_only(int call, unsigned argument, std::span<const std::uint32_t> values,
                  int errno_value);

  /// Takes in all threads of the process. Refused calls go to the audit log if `logged`. An errno, or 0.
  [[nodiscard]] int install(bool logged);

 private:
  void add(std::uint16_t code, std::uint32_t k, std::uint8_t jump_true = 0,
           std::uint8_t jump_false = 0);
  void load_call();

  std::vector<sock_filter> program_;
};

}  // namespace spillway::core::sandbox
