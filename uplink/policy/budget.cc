#include "uplink/policy/budget.h"

#include <algorithm>
#include <limits>

namespace spillway::uplink {

namespace {

/// Written so often in a period, at most; and no slice is smaller or larger than these.
constexpr std::uint64_t kSlices = 64;
constexpr std::uint64_t kSliceBytesMin = 64U << 10;
constexpr std::uint64_t kSliceBytesMax = 16U << 20;

std::uint64_t left_of(std::uint64_t limit, std::uint64_t spent) {
  if (limit == 0) return std::numeric_limits<std::uint64_t>::max();
  return limit > spent ? limit - spent : 0;
}

}  // namespace

Budget::Budget(BudgetLimits limits, const core::Uuid& boot_id, std::uint64_t boottime_ns)
    : Budget(limits, boot_id) {
  boottime_ns_ = boottime_ns;
}

Budget::Budget(BudgetLimits limits, const KeptBudget& kept, const core::Uuid& boot_id,
               std::uint64_t boottime_ns)
    : Budget(limits, boot_id) {
  // Another boot: of it, all that has passed since its begin; of the one before, what was proven.
  const bool same = kept.boot_id == boot_id && kept.boottime_ns <= boottime_ns;
  running_ns_ = kept.running_ns + (same ? boottime_ns - kept.boottime_ns : boottime_ns);
  boottime_ns_ = boottime_ns;
  day_ = kept.day;
  month_ = kept.month;
  reserved_of_day_ = day_.bytes;
  reserved_of_month_ = month_.bytes;
  proven_ns_ = kept.running_ns;
  advance(boottime_ns);
}

Budget Budget::used_up(BudgetLimits limits, const core::Uuid& boot_id, std::uint64_t boottime_ns) {
  Budget budget(limits, boot_id, boottime_ns);
  budget.day_.bytes = limits.per_day_bytes;
  // A month that ends with this day.
  budget.month_.bytes = limits.per_month_bytes;
  budget.running_ns_ = kMonthNs - kDayNs;
  budget.day_.began_ns = budget.running_ns_;
  return budget;
}

/// Periods follow each other without a hole, however late somebody looks.
void Budget::begin_anew(BudgetPeriod& period, std::uint64_t& reserved,
                        std::uint64_t length_ns) const {
  if (period.began_ns > running_ns_) period.began_ns = running_ns_;
  if (running_ns_ - period.began_ns < length_ns) return;
  period.began_ns += (running_ns_ - period.began_ns) / length_ns * length_ns;
  period.bytes = 0;
  reserved = 0;
}

void Budget::advance(std::uint64_t boottime_ns) {
  if (boottime_ns > boottime_ns_) {
    running_ns_ += boottime_ns - boottime_ns_;
    boottime_ns_ = boottime_ns;
  }
  begin_anew(day_, reserved_of_day_, kDayNs);
  begin_anew(month_, reserved_of_month_, kMonthNs);
}

void Budget::spend(std::uint64_t bytes, std::uint64_t boottime_ns) {
  advance(boottime_ns);
  day_.bytes += bytes;
  month_.bytes += bytes;
}

std::uint64_t Budget::left_bytes(std::uint64_t boottime_ns) {
  advance(boottime_ns);
  return std::min(left_of(limits_.per_day_bytes, day_.bytes),
                  left_of(limits_.per_month_bytes, month_.bytes));
}

std::uint64_t Budget::wait_ns(std::uint64_t boottime_ns) {
  advance(boottime_ns);
  std::uint64_t wait = 0;
  if (left_of(limits_.per_day_bytes, day_.bytes) == 0) {
    wait = day_.began_ns + kDayNs - running_ns_;
  }
  if (left_of(limits_.per_month_bytes, month_.bytes) == 0) {
    wait = std::max(wait, month_.began_ns + kMonthNs - running_ns_);
  }
  return wait;
}

std::uint64_t Budget::slice_bytes() const {
  const auto slice = [](std::uint64_t limit) {
    return limit == 0 ? kSliceBytesMax : limit / kSlices;
  };
  return std::clamp(std::min(slice(limits_.per_day_bytes), slice(limits_.per_month_bytes)),
                    kSliceBytesMin, kSliceBytesMax);
}

bool Budget::needs_reserve(std::uint64_t bytes, std::uint64_t boottime_ns) {
  if (!limits_.any()) return false;
  advance(boottime_ns);
  const bool covered =
      day_.bytes + bytes <= reserved_of_day_ && month_.bytes + bytes <= reserved_of_month_;
  return !covered || !proven_ns_ || running_ns_ - *proven_ns_ >= kProofNs;
}

KeptBudget Budget::kept_with(std::uint64_t more) const {
  KeptBudget kept{boot_id_, boottime_ns_, running_ns_, day_, month_};
  kept.day.bytes += more;
  kept.month.bytes += more;
  return kept;
}

KeptBudget Budget::reserve(std::uint64_t bytes, std::uint64_t boottime_ns) {
  advance(boottime_ns);
  return kept_with(bytes + slice_bytes());
}

KeptBudget Budget::settle(std::uint64_t boottime_ns) {
  advance(boottime_ns);
  return kept_with(0);
}

void Budget::reserved(const KeptBudget& kept) {
  reserved_of_day_ = kept.day.bytes;
  reserved_of_month_ = kept.month.bytes;
  proven_ns_ = kept.running_ns;
}

}  // namespace spillway::uplink
