// Tokens: who may put records, and for which topics.
//
// One thread. A token file has a line for each: TOKEN FILTER [FILTER...] ['+schema'], where FILTER is a
// topic filter ("sensor/#") and +schema allows to change the schemas of these topics. '#' at a line's
// beginning is a comment.
//
// Invariant: how long a comparison takes tells nothing of a token: hashes are compared, all of them,
// each whole.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/core/result.h"

namespace spillway::agent::api {

class Tokens {
 public:
  static constexpr std::size_t kTokensMax = 1024;
  static constexpr std::size_t kTokenBytesMin = 16;

  enum class Right : std::uint8_t { kPut, kSchema };
  enum class Verdict : std::uint8_t { kAllowed, kUnknown, kForbidden };

  /// Everybody may do everything: for a socket that only its group may open.
  Tokens() = default;
  [[nodiscard]] static core::Result<Tokens> parse(std::string_view text);
  /// Refuses a file that others may read.
  [[nodiscard]] static core::Result<Tokens> load(const std::string& path);

  /// `authorization`: the header, "Bearer TOKEN".
  [[nodiscard]] Verdict judge(std::string_view authorization, std::string_view topic,
                              Right right) const;
  /// Whether it is any token at all.
  [[nodiscard]] bool knows(std::string_view authorization) const;

 private:
  using Hash = std::array<unsigned char, 32>;
  struct Entry {
    Hash hash{};
    std::vector<std::string> filters;
    bool may_change_schemas = false;
  };
  [[nodiscard]] const Entry* find(std::string_view authorization) const;

  bool open_ = true;
  std::vector<Entry> entries_;
};

}  // namespace spillway::agent::api
