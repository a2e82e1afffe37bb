// How `spillway plan` says what it found: for a person, as JSON, and as a configuration to copy.
//
// Any thread.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "spillway/core/plan.h"

namespace spillway::cli {

/// A whole file that `spillway config check` accepts.
[[nodiscard]] std::string plan_config(const core::PlanInput& input, const core::Plan& plan);
[[nodiscard]] std::string plan_text(const core::PlanInput& input, const core::Plan& plan);
[[nodiscard]] boost::json::object plan_json(const core::PlanInput& input, const core::Plan& plan);

}  // namespace spillway::cli
