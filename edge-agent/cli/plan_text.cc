#include "edge-agent/cli/plan_text.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "edge-agent/cli/encoding.h"
#include "edge-agent/cli/plan_units.h"
#include "spillway/core/config.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

std::string number(double value, const char* form = "%.4g") {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), form, value);
  return text.data();
}

std::string bytes(double value) {
  return bytes_text(static_cast<std::uint64_t>(std::round(value)));
}

/// As the configuration reads it, exactly.
std::string exact_bytes(std::uint64_t value) {
  constexpr std::uint64_t kMiB = 1U << 20;
  constexpr std::uint64_t kKiB = 1U << 10;
  if (value % kMiB == 0) return std::to_string(value / kMiB) + "MiB";
  return value % kKiB == 0 ? std::to_string(value / kKiB) + "KiB" : std::to_string(value);
}

/// As on a card's label.
std::string exact_storage(std::uint64_t value) {
  constexpr std::uint64_t kGB = 1'000'000'000;
  constexpr std::uint64_t kTB = 1000 * kGB;
  if (value % kTB == 0) return std::to_string(value / kTB) + "TB";
  return value % kGB == 0 ? std::to_string(value / kGB) + "GB" : std::to_string(value) + "B";
}

std::string exact_duration(std::uint64_t ns) {
  struct Unit {
    const char* name;
    std::uint64_t ns;
  };
  constexpr std::array<Unit, 4> kUnits{
      {{"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1000}, {"ns", 1}}};
  for (const Unit& unit : kUnits) {
    if (ns != 0 && ns % unit.ns == 0) return std::to_string(ns / unit.ns) + unit.name;
  }
  return "0";
}

}  // namespace

std::string plan_config(const core::PlanInput& input, const core::Plan& plan) {
  const core::GatewayConfig usual;
  std::ostringstream out;
  out << "[gateway]\n";
  if (input.endurance_bytes != 0) {
    out << "flash_endurance = \"" << exact_storage(input.endurance_bytes) << "\"\n";
  }
  if (input.lanes > usual.lanes_per_user_max) {
    out << "lanes_per_user_max = " << input.lanes << '\n';
  }
  // A lane's file has two pages beside its data.
  constexpr std::uint64_t kLaneHeadBytes = 8192;
  const std::uint64_t lanes_bytes = input.lanes * (plan.lane_bytes + kLaneHeadBytes);
  if (lanes_bytes > usual.lane_bytes_per_user_max) {
    out << "lane_bytes_per_user_max = \"" << exact_bytes(lanes_bytes) << "\"\n";
  }
  out << "# Producers: lane_bytes = " << plan.lane_bytes
      << ", max_record_bytes = " << plan.max_record_bytes << "\n\n[[stream]]\n"
      << "name = \"planned\"\ntopics = [\"#\"]\n"
      << "sync_interval = \"" << exact_duration(input.sync_interval_ns) << "\"\n"
      << "segment_bytes = \"" << exact_bytes(plan.segment_bytes) << "\"\n"
      << "max_bytes = \"" << exact_bytes(plan.max_bytes) << "\"\n";
  return out.str();
}

std::string plan_text(const core::PlanInput& input, const core::Plan& plan) {
  std::ostringstream out;
  out << "load     " << number(input.records_per_s) << " records/s of " << input.record_bytes
      << " bytes from " << input.lanes << (input.lanes == 1 ? " producer" : " producers") << ": "
      << number(plan.blocks_per_s) << " blocks/s, " << number(plan.syncs_per_s) << " syncs/s\n"
      << "outage   " << duration_text(input.outage_s) << ": " << number(plan.outage_records, "%.0f")
      << " records, " << bytes(static_cast<double>(plan.spill_bytes)) << " of spill in "
      << number(plan.segments, "%.0f") << " segments of "
      << bytes(static_cast<double>(plan.segment_bytes)) << '\n'
      << "queue    lanes of " << bytes(static_cast<double>(plan.lane_bytes)) << " take records for "
      << duration_text(plan.lane_s) << " while no agent runs\n"
      << "flash    " << bytes(plan.flash_bytes_per_day) << " a day, " << number(plan.write_ratio)
      << " times the records' own bytes";
  if (plan.flash_years) {
    out << "; " << number(*plan.flash_years, "%.3g") << " years of the stated endurance";
  }
  out << "\nuplink   " << bytes(plan.uplink_bytes_per_day) << " a day, "
      << bytes(plan.uplink_bytes_per_month) << " in 30 days\n";
  if (plan.drain_s) {
    out << "drained  " << duration_text(*plan.drain_s)
        << " after the outage, while new records come"
        << " (the link carries " << number(plan.link_records_per_s) << " records/s)\n";
  } else if (!plan.never_drains.empty()) {
    out << "drained  NEVER: " << plan.never_drains << '\n';
  }
  out << "\n# A configuration to copy:\n" << plan_config(input, plan);
  return out.str();
}

json::object plan_json(const core::PlanInput& input, const core::Plan& plan) {
  const auto or_null = [](const std::optional<double>& value) {
    return value ? json::value(*value) : json::value(nullptr);
  };
  json::object out{
      {"records_per_s", input.records_per_s},
      {"record_bytes", input.record_bytes},
      {"outage_s", input.outage_s},
      {"blocks_per_s", plan.blocks_per_s},
      {"records_per_block", plan.records_per_block},
      {"syncs_per_s", plan.syncs_per_s},
      {"outage_records", plan.outage_records},
      {"segment_bytes", plan.segment_bytes},
      {"segments", plan.segments},
      {"records_per_segment", plan.records_per_segment},
      {"spill_bytes", plan.spill_bytes},
      {"max_bytes", plan.max_bytes},
      {"lane_bytes", plan.lane_bytes},
      {"max_record_bytes", plan.max_record_bytes},
      {"lane_s", plan.lane_s},
      {"flash_bytes_per_day", plan.flash_bytes_per_day},
      {"write_ratio", plan.write_ratio},
      {"flash_years", or_null(plan.flash_years)},
      {"uplink_bytes_per_day", plan.uplink_bytes_per_day},
      {"uplink_bytes_per_month", plan.uplink_bytes_per_month},
      {"link_records_per_s", plan.link_records_per_s},
      {"drain_s", or_null(plan.drain_s)},
      {"config", plan_config(input, plan)},
  };
  if (!plan.never_drains.empty()) out["never_drains"] = plan.never_drains;
  return out;
}

}  // namespace spillway::cli
