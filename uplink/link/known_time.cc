#include "uplink/link/known_time.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "spillway/core/log.h"

namespace spillway::uplink {

namespace {

constexpr std::size_t kFileBytesMax = 64;
/// A time beyond this (the year 2200) was never anybody's.
constexpr std::uint64_t kUtcNsMax = 7'258'118'400'000'000'000;

std::uint64_t parse(std::string_view text) {
  std::uint64_t ns = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), ns);
  const bool whole = error == std::errc{} && at != text.data() + text.size() && *at == '\n';
  return whole && ns <= kUtcNsMax ? ns : 0;
}

}  // namespace

KnownTime::KnownTime(core::env::Env& env, std::string path) : env_(env), path_(std::move(path)) {
  const auto bytes = core::env::read_file(env_, path_, kFileBytesMax);
  if (!bytes) return;
  known_ns_ = parse({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  written_ns_ = known_ns_;
}

void KnownTime::look() {
  if (!env_.utc_is_certain()) return;
  const std::uint64_t now_ns = std::min(env_.utc_ns(), kUtcNsMax);
  const bool was_wrong = known_ns_ > now_ns + kAheadNsMax;
  known_ns_ = was_wrong ? now_ns : std::max(known_ns_, now_ns);
  const bool is_due = known_ns_ < written_ns_ || known_ns_ - written_ns_ >= kWriteEveryNs;
  if (!is_due || failed_) return;
  const std::string text = std::to_string(known_ns_) + "\n";
  const auto written =
      core::env::replace_file(env_, path_, std::as_bytes(std::span(text.data(), text.size())));
  if (written) {
    written_ns_ = known_ns_;
    return;
  }
  failed_ = true;
  spdlog::warn("the time cannot be kept for the next start: {}", written.error().message);
}

}  // namespace spillway::uplink
