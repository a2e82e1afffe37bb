#include "uplink/daemon/status_file.h"

#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "spillway/core/log.h"

namespace spillway::uplink {

namespace {

std::string quoted(std::string_view text) {
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

}  // namespace

std::string to_json(const UplinkStatus& status) {
  std::string json = "{\"name\": " + quoted(status.name) +
                     ", \"pid\": " + std::to_string(::getpid()) +
                     ", \"state\": " + quoted(status.state) + ", \"url\": " + quoted(status.url) +
                     ", \"since_utc_ns\": " + std::to_string(status.since_utc_ns) +
                     ", \"error\": " + quoted(status.error) +
                     ", \"connections\": " + std::to_string(status.connections) +
                     ", \"fenced\": " + std::to_string(status.fenced) +
                     ", \"reopened\": " + std::to_string(status.reopened) +
                     ", \"cursor_error\": " + quoted(status.cursor_error) + ", \"streams\": [";
  for (std::size_t i = 0; i < status.streams.size(); ++i) {
    const StreamStatus& stream = status.streams[i];
    if (i != 0) json += ", ";
    json += "{\"stream\": " + quoted(stream.stream) + ", \"journal\": " + quoted(stream.journal) +
            ", \"acked_offset\": " + std::to_string(stream.acked_offset) +
            ", \"sent_offset\": " + std::to_string(stream.sent_offset) + "}";
  }
  return json + "]}\n";
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
