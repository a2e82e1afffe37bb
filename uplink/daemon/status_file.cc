#include "uplink/daemon/status_file.h"

#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "spillway/core/log.h"
#include "spillway/core/sandbox.h"

namespace spillway::uplink {

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (code >= 32) {
      out += c;
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof(escaped), "\\u%04x", code);
    out += escaped;
  }
  return out + "\"";
}

namespace {

/// The members of one object, in the order in which they are added.
class Members {
 public:
  Members& add(std::string_view key, std::string_view value) { return put(key, json_text(value)); }
  Members& add(std::string_view key, std::uint64_t value) {
    return put(key, std::to_string(value));
  }
  Members& add(std::string_view key, std::optional<std::uint64_t> value) {
    return put(key, value ? std::to_string(*value) : "null");
  }
  Members& truth(std::string_view key, bool value) { return put(key, value ? "true" : "false"); }
  template <typename Item>
  Members& list(std::string_view key, const std::vector<Item>& items) {
    std::string out;
    for (const Item& item : items) out += (out.empty() ? "" : ", ") + text_of(item);
    return put(key, "[" + out + "]");
  }
  [[nodiscard]] std::string text() const { return "{" + text_ + "}"; }

 private:
  static std::string text_of(const StreamStatus& stream);
  static std::string text_of(const LinkStatus& link);
  Members& put(std::string_view key, const std::string& value) {
    text_ += (text_.empty() ? "" : ", ") + json_text(key) + ": " + value;
    return *this;
  }
  std::string text_;
};

std::string Members::text_of(const StreamStatus& stream) {
  return Members()
      .add("stream", stream.stream)
      .add("journal", stream.journal)
      .add("acked_offset", stream.acked_offset)
      .add("sent_offset", stream.sent_offset)
      .add("refused", stream.refused)
      .add("dead_letters", stream.dead_letters)
      .add("refused_reason", stream.refused_reason)
      .truth("live", stream.live)
      .add("backlog_records", stream.backlog_records)
      .add("backlog_bytes", stream.backlog_bytes)
      .text();
}

std::string Members::text_of(const LinkStatus& link) {
  return Members()
      .add("name", link.name)
      .add("state", link.state)
      .add("interface", link.interface)
      .add("url", link.url)
      .add("error", link.error)
      .add("until_utc_ns", link.until_utc_ns)
      .add("sent_bytes", link.sent_bytes)
      .add("received_bytes", link.received_bytes)
      .add("rate_limit_bytes_per_s", link.rate_limit_bytes_per_s)
      .add("budget_per_day_bytes", link.budget_per_day_bytes)
      .add("budget_per_month_bytes", link.budget_per_month_bytes)
      .add("spent_of_day_bytes", link.spent_of_day_bytes)
      .add("spent_of_month_bytes", link.spent_of_month_bytes)
      .add("budget_error", link.budget_error)
      .text();
}

}  // namespace

std::string to_json(const UplinkStatus& status) {
  return Members()
             .add("name", status.name)
             .add("pid", static_cast<std::uint64_t>(::getpid()))
             .add("sandbox", core::sandbox_in_force().text())
             .add("state", status.state)
             .add("link", status.link)
             .add("url", status.url)
             .add("since_utc_ns", status.since_utc_ns)
             .add("until_utc_ns", status.until_utc_ns)
             .add("error", status.error)
             .add("connections", status.connections)
             .add("fenced", status.fenced)
             .add("reopened", status.reopened)
             .add("network_events", status.network_events)
             .add("cursor_error", status.cursor_error)
             .add("round_trip_us", status.round_trip_us)
             .add("window_bytes", status.window_bytes)
             .add("in_flight_bytes", status.in_flight_bytes)
             .add("link_bytes_per_s", status.link_bytes_per_s)
             .add("bytes_per_s", status.bytes_per_s)
             .add("drain_s", status.drain_s)
             .list("links", status.links)
             .list("streams", status.streams)
             .text() +
         "\n";
}

void StatusFile::update(const UplinkStatus& status) {
  std::string json = to_json(status);
  if (json == written_) return;
  const auto bytes = std::as_bytes(std::span(json.data(), json.size()));
  const auto outcome = core::env::replace_file(env_, path_, bytes);
  if (!outcome && !failed_) spdlog::warn("the status cannot be shown: {}", outcome.error().message);
  failed_ = !outcome;
  if (outcome) written_ = std::move(json);
}

}  // namespace spillway::uplink
