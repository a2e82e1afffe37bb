#include "edge-agent/ingest/api/body.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <string>
#include <utility>

namespace spillway::agent::api {
namespace {

using Texts = std::vector<std::string_view>;

constexpr std::array<std::pair<std::string_view, BodyKind>, 6> kTypes{{
    {"application/json", BodyKind::kJson},
    {"application/x-ndjson", BodyKind::kLines},
    {"application/ndjson", BodyKind::kLines},
    {"application/x-flatbuffers", BodyKind::kRecord},
    {"application/octet-stream", BodyKind::kRecord},
    {"application/x-flatbuffers-sequence", BodyKind::kRecordsPrefix},
}};

tl::unexpected<core::Error> wrong(std::string why) {
  return core::fail(core::ErrorCode::kInvalidArgument, std::move(why));
}

core::Result<void> keep(Texts& texts, std::string_view text, std::size_t records_max) {
  if (texts.size() == records_max) {
    return core::fail(core::ErrorCode::kFull, "more than " + std::to_string(records_max) +
                                                  " records (records_max): send them in parts");
  }
  texts.push_back(text);
  return {};
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

/// Behind the string that begins at `at`, or the text's end if it does not end.
std::size_t string_end(std::string_view text, std::size_t at) {
  ++at;
  while (at < text.size()) {
    // Most of a string is neither: the library looks for both faster than a loop does.
    at = text.find_first_of("\"\\", at);
    if (at == std::string_view::npos) return text.size();
    if (text[at] == '"') return at + 1;
    at += 2;
  }
  return text.size();
}

/// Behind the object that begins at `at`; 0 if it does not end. Braces in strings do not count.
std::size_t object_end(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = string_end(text, at);
      continue;
    }
    ++at;
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) return at;
  }
  return 0;
}

core::Result<std::size_t> keep_object(Texts& texts, std::string_view body, std::size_t at,
                                      std::size_t records_max) {
  if (at >= body.size() || body[at] != '{') {
    return wrong("record " + std::to_string(texts.size()) + ": expected a JSON object at byte " +
                 std::to_string(at));
  }
  const std::size_t end = object_end(body, at);
  if (end == 0) return wrong("record " + std::to_string(texts.size()) + " does not end");
  SPILLWAY_CHECKED(keep(texts, body.substr(at, end - at), records_max));
  return skip_space(body, end);
}

core::Result<Texts> split_json(std::string_view body, std::size_t records_max) {
  Texts texts;
  std::size_t at = skip_space(body, 0);
  const bool many = at < body.size() && body[at] == '[';
  if (many) at = skip_space(body, at + 1);
  const bool empty = many && at < body.size() && body[at] == ']';
  while (!empty) {
    SPILLWAY_TRY(next, keep_object(texts, body, at, records_max));
    at = next;
    if (!many || at >= body.size() || body[at] != ',') break;
    at = skip_space(body, at + 1);
  }
  if (many) {
    if (at >= body.size() || body[at] != ']') {
      return wrong("the array of records does not go on with ',' or ']' behind record " +
                   std::to_string(texts.empty() ? 0 : texts.size() - 1));
    }
    at = skip_space(body, at + 1);
  }
  if (at != body.size()) {
    return wrong("something follows the JSON at byte " + std::to_string(at) +
                 "; several records are an array, or application/x-ndjson");
  }
  return texts;
}

core::Result<Texts> split_lines(std::string_view body, std::size_t records_max) {
  Texts texts;
  while (!body.empty()) {
    const std::size_t end = std::min(body.find('\n'), body.size());
    std::string_view line = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
    line.remove_prefix(skip_space(line, 0));
    if (!line.empty()) SPILLWAY_CHECKED(keep(texts, line, records_max));
  }
  return texts;
}

core::Result<Texts> split_prefixed(std::string_view body, std::size_t records_max) {
  Texts texts;
  while (!body.empty()) {
    std::uint32_t size = 0;
    if (body.size() < sizeof size) return wrong("the body ends inside a record's size");
    std::memcpy(&size, body.data(), sizeof size);
    body.remove_prefix(sizeof size);
    if (size > body.size()) {
      return wrong("record " + std::to_string(texts.size()) + " says " + std::to_string(size) +
                   " bytes, and " + std::to_string(body.size()) + " are left");
    }
    SPILLWAY_CHECKED(keep(texts, body.substr(0, size), records_max));
    body.remove_prefix(size);
  }
  return texts;
}

}  // namespace

std::optional<BodyKind> kind_of(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && is_space(content_type.back())) content_type.remove_suffix(1);
  for (const auto& [name, kind] : kTypes) {
    const bool same = std::equal(
        name.begin(), name.end(), content_type.begin(), content_type.end(), [](char a, char b) {
          return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
        });
    if (same) return kind;
  }
  return std::nullopt;
}

core::Result<Texts> split_body(BodyKind kind, std::string_view body, std::size_t records_max) {
  switch (kind) {
    case BodyKind::kJson:
      return split_json(body, records_max);
    case BodyKind::kLines:
      return split_lines(body, records_max);
    case BodyKind::kRecordsPrefix:
      return split_prefixed(body, records_max);
    case BodyKind::kRecord:
      break;
  }
  Texts texts;
  if (!body.empty()) texts.push_back(body);
  return texts;
}

}  // namespace spillway::agent::api
