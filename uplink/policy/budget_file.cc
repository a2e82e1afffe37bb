#include "uplink/policy/budget_file.h"

#include <array>
#include <charconv>

#include "core/format/checksum.h"

namespace spillway::uplink {

using core::ErrorCode;

namespace {

constexpr std::size_t kFileBytesMax = 4096;
constexpr std::string_view kHead = "spillway-budget 1\n";
constexpr std::string_view kCheck = "check = ";

std::string digest_of(std::string_view text) {
  const std::uint64_t digest = core::xxh3(std::as_bytes(std::span(text)), 0);
  std::string hex;
  for (int shift = 60; shift >= 0; shift -= 4) hex += "0123456789abcdef"[digest >> shift & 0xF];
  return hex;
}

/// Reads "KEY = VALUE\n" off the text's begin.
bool take(std::string_view& text, std::string_view key, std::string_view& value) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(key)) return false;
  const std::string_view rest = text.substr(key.size(), end - key.size());
  constexpr std::string_view kParting = " = ";
  if (!rest.starts_with(kParting)) return false;
  value = rest.substr(kParting.size());
  text.remove_prefix(end + 1);
  return true;
}

bool take(std::string_view& text, std::string_view key, std::uint64_t& number) {
  std::string_view value;
  if (!take(text, key, value)) return false;
  const char* const end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number);
  return error == std::errc{} && at == end;
}

}  // namespace

std::string budget_text(const KeptBudget& kept) {
  std::string text(kHead);
  text += "boot = " + kept.boot_id.text() + "\n";
  const std::array<std::pair<const char*, std::uint64_t>, 6> numbers{
      {{"boottime_ns", kept.boottime_ns},
       {"running_ns", kept.running_ns},
       {"day_began_ns", kept.day.began_ns},
       {"day_bytes", kept.day.bytes},
       {"month_began_ns", kept.month.began_ns},
       {"month_bytes", kept.month.bytes}}};
  for (const auto& [key, number] : numbers) {
    text += std::string(key) + " = " + std::to_string(number) + "\n";
  }
  return text + std::string(kCheck) + digest_of(text) + "\n";
}

std::optional<KeptBudget> parse_budget(std::string_view text) {
  const std::size_t check = text.rfind(kCheck);
  if (check == std::string_view::npos || !text.starts_with(kHead)) return {};
  const std::string_view body = text.substr(0, check);
  if (text.substr(check) != std::string(kCheck) + digest_of(body) + "\n") return {};
  std::string_view rest = body.substr(kHead.size());
  std::string_view boot;
  KeptBudget kept;
  const bool whole = take(rest, "boot", boot) && take(rest, "boottime_ns", kept.boottime_ns) &&
                     take(rest, "running_ns", kept.running_ns) &&
                     take(rest, "day_began_ns", kept.day.began_ns) &&
                     take(rest, "day_bytes", kept.day.bytes) &&
                     take(rest, "month_began_ns", kept.month.began_ns) &&
                     take(rest, "month_bytes", kept.month.bytes) && rest.empty();
  const auto boot_id = core::Uuid::parse(boot);
  if (!whole || !boot_id) return {};
  kept.boot_id = *boot_id;
  return kept;
}

Budget load_budget(core::env::Env& env, const std::string& path, BudgetLimits limits,
                   std::string& said) {
  said.clear();
  const auto bytes = core::env::read_file(env, path, kFileBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) {
    return Budget(limits, env.boot_id(), env.boottime_ns());
  }
  std::optional<KeptBudget> kept;
  if (bytes) kept = parse_budget({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  if (kept) return Budget(limits, *kept, env.boot_id(), env.boottime_ns());
  said = bytes ? path + " is not what was written" : bytes.error().message;
  return Budget::used_up(limits, env.boot_id(), env.boottime_ns());
}

core::Result<void> keep_budget(core::env::Env& env, const std::string& path,
                               const KeptBudget& kept) {
  const std::string text = budget_text(kept);
  return core::env::replace_file(env, path, std::as_bytes(std::span(text)));
}

}  // namespace spillway::uplink
