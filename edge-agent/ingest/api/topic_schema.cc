#include "edge-agent/ingest/api/topic_schema.h"

#include <flatbuffers/util.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "spillway/core/schema.h"

namespace spillway::agent::api {
namespace {

constexpr std::size_t kTextBytesMax = 256U * 1024;

const std::uint8_t* octets(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

tl::unexpected<core::Error> wrong(const std::string& why) {
  return core::fail(core::ErrorCode::kInvalidArgument, "the schema cannot be used: " + why);
}

/// flatbuffers' errors end in line breaks.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

/// A schema that somebody sent must not read this machine's files.
void forbid_includes() {
  static std::once_flag once;
  std::call_once(once, [] {
    flatbuffers::SetFileExistsFunction([](const char*) { return false; });
    flatbuffers::SetLoadFileFunction([](const char*, bool, std::string*) { return false; });
  });
}

core::Result<Bytes> compile_text(std::span<const std::byte> sent) {
  if (sent.size() > kTextBytesMax) return wrong("a .fbs of more than 256 KiB");
  const std::string text(reinterpret_cast<const char*>(sent.data()), sent.size());
  if (text.find('\0') != std::string::npos) {
    return wrong("it is neither a .bfbs nor a .fbs text (a text has no NUL)");
  }
  forbid_includes();
  flatbuffers::Parser parser;
  if (!parser.Parse(text.c_str(), nullptr, "schema.fbs")) return wrong(one_line(parser.error_));
  if (parser.root_struct_def_ == nullptr) return wrong("it names no root_type");
  parser.Serialize();
  const auto bytes = std::as_bytes(
      std::span(parser.builder_.GetBufferPointer(), std::size_t{parser.builder_.GetSize()}));
  return Bytes(bytes.begin(), bytes.end());
}

bool is_binary(std::span<const std::byte> sent) {
  return sent.size() >= 8 && std::memcmp(sent.data() + 4, "BFBS", 4) == 0;
}

}  // namespace

core::Result<Bytes> compile_schema(std::span<const std::byte> sent) {
  Bytes bfbs(sent.begin(), sent.end());
  if (!is_binary(sent)) {
    SPILLWAY_TRY(compiled, compile_text(sent));
    bfbs = std::move(compiled);
  }
  if (const auto sound = check_meaning(bfbs); !sound) return wrong(sound.error().message);
  return bfbs;
}

TopicSchema::TopicSchema(Bytes bfbs)
    : bfbs_(std::move(bfbs)), fingerprint_(core::schema_fingerprint(bfbs_)) {
  parser_.opts.strict_json = true;
}

core::Result<std::shared_ptr<TopicSchema>> TopicSchema::make(Bytes bfbs) {
  SPILLWAY_CHECKED(check_meaning(bfbs));
  std::shared_ptr<TopicSchema> schema(new TopicSchema(std::move(bfbs)));
  if (!schema->parser_.Deserialize(octets(schema->bfbs_), schema->bfbs_.size())) {
    return wrong("flatbuffers does not read it");
  }
  return schema;
}

core::Result<std::span<const std::byte>> TopicSchema::build(std::string_view json) {
  if (json.find('\0') != std::string_view::npos) {
    return core::fail(core::ErrorCode::kInvalidArgument, "a NUL in the JSON");
  }
  text_.assign(json);
  if (!parser_.ParseJson(text_.c_str())) {
    return core::fail(core::ErrorCode::kInvalidArgument, one_line(parser_.error_));
  }
  return std::as_bytes(
      std::span(parser_.builder_.GetBufferPointer(), std::size_t{parser_.builder_.GetSize()}));
}

bool TopicSchema::verify(std::span<const std::byte> record) const {
  const auto& schema = *reflection::GetSchema(bfbs_.data());
  return flatbuffers::Verify(schema, *schema.root_table(), octets(record), record.size());
}

}  // namespace spillway::agent::api
