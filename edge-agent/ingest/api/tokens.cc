#include "edge-agent/ingest/api/tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/topic.h"

namespace spillway::agent::api {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr std::string_view kSchemaRight = "+schema";
constexpr std::size_t kFileBytesMax = 1 << 20;

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

}  // namespace

core::Result<Tokens> Tokens::parse(std::string_view text) {
  Tokens tokens;
  tokens.open_ = false;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty() || words.front().starts_with('#')) continue;
    const auto wrong = [number](const std::string& why) {
      return core::fail(core::ErrorCode::kInvalidArgument,
                        "line " + std::to_string(number) + ": " + why);
    };
    if (words.front().size() < kTokenBytesMin) return wrong("a token has at least 16 bytes");
    if (tokens.entries_.size() == kTokensMax) return wrong("more than 1024 tokens");
    Entry entry;
    ::SHA256(reinterpret_cast<const unsigned char*>(words.front().data()), words.front().size(),
             entry.hash.data());
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (words[i] == kSchemaRight) {
        entry.may_change_schemas = true;
      } else if (core::is_valid_topic_filter(words[i])) {
        entry.filters.push_back(words[i]);
      } else {
        return wrong("\"" + words[i] + "\" is no topic filter");
      }
    }
    if (entry.filters.empty()) return wrong("the token has no topic filter; # stands for all");
    tokens.entries_.push_back(std::move(entry));
  }
  return tokens;
}

core::Result<Tokens> Tokens::load(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return core::fail_errno(errno, "token_file " + path);
  if ((facts.st_mode & S_IRWXO) != 0) {
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "token_file " + path + " may be read by everybody: chmod o-rwx it");
  }
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), path, kFileBytesMax));
  auto tokens = parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (tokens) return tokens;
  return core::fail(core::ErrorCode::kInvalidArgument,
                    "token_file " + path + ", " + tokens.error().message);
}

const Tokens::Entry* Tokens::find(std::string_view authorization) const {
  if (!authorization.starts_with(kScheme)) return nullptr;
  const std::string_view token = authorization.substr(kScheme.size());
  Hash hash{};
  ::SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (::CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0) found = &entry;
  }
  return found;
}

bool Tokens::knows(std::string_view authorization) const {
  return open_ || find(authorization) != nullptr;
}

Tokens::Verdict Tokens::judge(std::string_view authorization, std::string_view topic,
                              Right right) const {
  if (open_) return Verdict::kAllowed;
  const Entry* const entry = find(authorization);
  if (entry == nullptr) return Verdict::kUnknown;
  const bool matches = std::any_of(
      entry->filters.begin(), entry->filters.end(),
      [topic](const std::string& filter) { return core::topic_matches(filter, topic); });
  const bool may = matches && (right == Right::kPut || entry->may_change_schemas);
  return may ? Verdict::kAllowed : Verdict::kForbidden;
}

}  // namespace spillway::agent::api
