// The kept file of a link's budget: <spill_dir>/<stream>/cursors/<uplink>.<link>.budget.
//
// A few lines of text with a checksum, replaced as a whole (docs/format.md). One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "spillway/core/env/env.h"
#include "spillway/core/result.h"
#include "uplink/policy/budget.h"

namespace spillway::uplink {

[[nodiscard]] std::string budget_text(const KeptBudget& kept);
/// Nothing if any byte of it is wrong.
[[nodiscard]] std::optional<KeptBudget> parse_budget(std::string_view text);

/// From the file at `path`: a new one if there is none, a used-up one if it cannot be read; `said`
/// tells then what is wrong with it.
[[nodiscard]] Budget load_budget(core::env::Env& env, const std::string& path, BudgetLimits limits,
                                 std::string& said);
/// Power-safe when it returns.
[[nodiscard]] core::Result<void> keep_budget(core::env::Env& env, const std::string& path,
                                             const KeptBudget& kept);

}  // namespace spillway::uplink
