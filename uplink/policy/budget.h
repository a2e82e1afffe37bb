// Budget: how many bytes a link may cost in a day and in a month, whatever is killed in between.
//
// A day is 86,400 s, a month 30 days, of the time this machine is known to have run: BOOTTIME, summed
// over the boots as far as the kept file proves it. What passed while the machine was off, and at a
// boot's end after the file was last written, is not in it: a day is at times longer than a day, never
// shorter.
//
//              spent = limit of either
//   kOpen ----------------------------> kUsedUp
//     ^          its period ends           |
//     +------------------------------------+
//
// Before bytes are spent they are *reserved*, a slice at a time: the file that is written and synced
// says that they are gone. So a crash counts at most a slice too much, and nothing too little.
//
// Pure: the time is told, the file is somebody else's (budget_file.h). One thread.
//
// Invariants:
//  1. spent <= reserved as long as the caller asks needs_reserve() before it spends; what it
//     could not ask about (bytes received) is spent all the same.
//  2. A restart goes on with what was reserved as spent.
//  3. A file that cannot be read is no gift: both periods are used up for one day, then both begin
//     anew. So at most one further budget is spent, and the link is not lost for a month.
#pragma once

#include <cstdint>
#include <optional>

#include "spillway/core/uuid.h"

namespace spillway::uplink {

struct BudgetLimits {
  std::uint64_t per_day_bytes = 0;    // 0: none
  std::uint64_t per_month_bytes = 0;  // 0: none
  [[nodiscard]] bool any() const { return per_day_bytes != 0 || per_month_bytes != 0; }
};

struct BudgetPeriod {
  std::uint64_t began_ns = 0;  // in the machine's running time
  std::uint64_t bytes = 0;
};

/// What the file holds.
struct KeptBudget {
  core::Uuid boot_id;
  std::uint64_t boottime_ns = 0;  // of that boot, when it was written
  std::uint64_t running_ns = 0;   // the machine's running time then
  BudgetPeriod day;               // bytes: reserved
  BudgetPeriod month;
};

class Budget {
 public:
  static constexpr std::uint64_t kDayNs = 86'400'000'000'000;
  static constexpr std::uint64_t kMonthNs = 30 * kDayNs;
  /// The file is written at least so often while somebody asks: what passed since is not proven.
  static constexpr std::uint64_t kProofNs = 3'600'000'000'000;

  /// The first start: both periods begin.
  Budget(BudgetLimits limits, const core::Uuid& boot_id, std::uint64_t boottime_ns);
  /// Goes on.
  Budget(BudgetLimits limits, const KeptBudget& kept, const core::Uuid& boot_id,
         std::uint64_t boottime_ns);
  /// After a file that cannot be read.
  [[nodiscard]] static Budget used_up(BudgetLimits limits, const core::Uuid& boot_id,
                                      std::uint64_t boottime_ns);

  void spend(std::uint64_t bytes, std::uint64_t boottime_ns);
  /// 0: it may be spent. Else the running time until both periods have something again.
  [[nodiscard]] std::uint64_t wait_ns(std::uint64_t boottime_ns);
  /// What may still be spent in both periods.
  [[nodiscard]] std::uint64_t left_bytes(std::uint64_t boottime_ns);

  /// True: write reserve() first, then tell reserved().
  [[nodiscard]] bool needs_reserve(std::uint64_t bytes, std::uint64_t boottime_ns);
  /// The file with room for these bytes and a slice.
  [[nodiscard]] KeptBudget reserve(std::uint64_t bytes, std::uint64_t boottime_ns);
  /// The file as it is at a clean end: nothing is reserved beyond what was spent.
  [[nodiscard]] KeptBudget settle(std::uint64_t boottime_ns);
  void reserved(const KeptBudget& kept);

  [[nodiscard]] const BudgetLimits& limits() const { return limits_; }
  [[nodiscard]] std::uint64_t spent_of_day() const { return day_.bytes; }
  [[nodiscard]] std::uint64_t spent_of_month() const { return month_.bytes; }
  [[nodiscard]] std::uint64_t slice_bytes() const;

 private:
  Budget(BudgetLimits limits, const core::Uuid& boot_id) : limits_(limits), boot_id_(boot_id) {}
  void advance(std::uint64_t boottime_ns);
  void begin_anew(BudgetPeriod& period, std::uint64_t& reserved, std::uint64_t length_ns) const;
  [[nodiscard]] KeptBudget kept_with(std::uint64_t more) const;

  BudgetLimits limits_;
  core::Uuid boot_id_;
  std::uint64_t boottime_ns_ = 0;
  std::uint64_t running_ns_ = 0;
  BudgetPeriod day_;  // bytes: spent
  BudgetPeriod month_;
  std::uint64_t reserved_of_day_ = 0;
  std::uint64_t reserved_of_month_ = 0;
  std::optional<std::uint64_t> proven_ns_;  // the running time that the file holds
};

}  // namespace spillway::uplink
