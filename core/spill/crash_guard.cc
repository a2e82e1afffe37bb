#include "spillway/core/crash_guard.h"

#include <charconv>
#include <string_view>

namespace spillway::core {

namespace {

constexpr std::size_t kFileBytesMax = 4096;
constexpr std::size_t kBootIdChars = 36;

}  // namespace

/// The file: "<boot id> <crashes> <name>\n".
CrashGuard::CrashGuard(env::Env& env, std::string path) : env_(env), path_(std::move(path)) {
  const auto bytes = env::read_file(env_, path_, kFileBytesMax);
  if (!bytes) return;
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  if (!text.starts_with(env_.boot_id().text() + " ") || !text.ends_with("\n")) return;
  const std::string_view rest = text.substr(kBootIdChars + 1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), crashes_);
  const auto name_at = static_cast<std::size_t>(end - rest.data()) + 1;
  if (error != std::errc{} || name_at + 1 > rest.size()) {
    crashes_ = 0;
    return;
  }
  left_over_ = rest.substr(name_at, rest.size() - name_at - 1);
}

void CrashGuard::begin(const std::string& name) {
  const bool again = name == left_over_;
  const std::string text =
      env_.boot_id().text() + " " + std::to_string(again ? crashes_ + 1 : 1) + " " + name + "\n";
  // Made anew, so that no longer name shows through. Not synced: it is to outlive the process alone.
  static_cast<void>(env_.remove(path_));
  if (auto file = env_.open(path_, env::OpenMode::kOpenOrCreate)) {
    written_ = (*file)->write(0, std::as_bytes(std::span(text))).has_value();
  }
}

void CrashGuard::done() {
  if (!written_ && left_over_.empty()) return;
  static_cast<void>(env_.remove(path_));
  written_ = false;
  left_over_.clear();
}

}  // namespace spillway::core
