#include "edge-agent/ingest/api/schema_store.h"

#include <cctype>

#include "edge-agent/ingest/api/schema_change.h"
#include "spillway/core/fingerprint.h"
#include "spillway/core/log.h"
#include "spillway/core/topic.h"

namespace spillway::agent::api {
namespace {

constexpr std::string_view kSuffix = ".bfbs";
constexpr std::string_view kDigits = "0123456789ABCDEF";
/// A file's name has at most 255 bytes, and a temporary name is longer.
constexpr std::size_t kEscapedBytesMax = 200;

int digit_of(char c) {
  const auto at = kDigits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string escape(std::string_view topic) {
  std::string text;
  for (const char c : topic) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_') {
      text += c;
    } else {
      text += '%';
      text += kDigits[byte >> 4U];
      text += kDigits[byte & 15U];
    }
  }
  return text;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = digit_of(text[i + 1]);
    const int low = digit_of(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

core::Result<std::unique_ptr<SchemaStore>> SchemaStore::open(core::env::Env& env,
                                                             std::string directory) {
  SPILLWAY_CHECKED(env.make_directories(directory));
  std::unique_ptr<SchemaStore> store(new SchemaStore(env, std::move(directory)));
  SPILLWAY_TRY(names, env.list(store->directory_));
  for (const std::string& name : names) {
    if (!name.ends_with(kSuffix)) continue;
    if (const auto loaded = store->load(name); !loaded) {
      spdlog::warn("the schema {}/{} is not used: {}", store->directory_, name,
                   loaded.error().message);
    }
  }
  return store;
}

core::Result<void> SchemaStore::load(const std::string& name) {
  const auto topic = unescape(std::string_view(name).substr(0, name.size() - kSuffix.size()));
  if (!topic || !core::is_valid_topic(*topic)) {
    return core::fail(core::ErrorCode::kInvalidArgument, "its name is no topic's");
  }
  if (schemas_.size() == kTopicsMax) {
    return core::fail(core::ErrorCode::kFull, "at most 1024 topics have a schema");
  }
  SPILLWAY_TRY(bytes, core::env::read_file(env_, directory_ + "/" + name, core::kSchemaBytesMax));
  SPILLWAY_TRY(schema, TopicSchema::make(std::move(bytes)));
  schemas_[*topic] = std::move(schema);
  return {};
}

std::shared_ptr<TopicSchema> SchemaStore::find(const std::string& topic) const {
  const auto found = schemas_.find(topic);
  return found == schemas_.end() ? nullptr : found->second;
}

core::Result<SchemaStore::Put> SchemaStore::put(const std::string& topic,
                                                std::span<const std::byte> sent) {
  const std::string name = escape(topic);
  if (name.size() > kEscapedBytesMax) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "the topic is too long to keep a schema for (200 bytes, three for each that "
                      "is no letter or digit)");
  }
  SPILLWAY_TRY(bfbs, compile_schema(sent));
  SPILLWAY_TRY(schema, TopicSchema::make(std::move(bfbs)));
  const auto before = find(topic);
  if (before && before->bfbs() == schema->bfbs()) return Put::kSame;
  if (before) {
    if (const auto why = why_incompatible(before->bfbs(), schema->bfbs())) {
      return core::fail(core::ErrorCode::kRefused, "not a compatible change: " + *why);
    }
  } else if (schemas_.size() == kTopicsMax) {
    return core::fail(core::ErrorCode::kFull, "at most 1024 topics have a schema");
  }
  SPILLWAY_CHECKED(core::env::replace_file(env_, directory_ + "/" + name + std::string(kSuffix),
                                           schema->bfbs()));
  schemas_[topic] = std::move(schema);
  return before ? Put::kChanged : Put::kNew;
}

}  // namespace spillway::agent::api
