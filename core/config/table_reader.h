// TableReader: one TOML table, read key by key; every complaint begins with FILE:LINE. Private to
// core/config.
//
// The reads leave `out` as it was where the key is not there, so a struct's defaults stand.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/toml.h"
#include "spillway/core/result.h"

namespace spillway::core {

/// The keys a table may have, and those that only a later version understands.
struct TableKeys {
  std::span<const std::string_view> known;
  std::span<const std::string_view> later;
};

class TableReader {
 public:
  /// `name` is the table as a person writes it: "[gateway]", "[[stream]]"; "the file" at the top.
  TableReader(const toml::table& table, std::string name, const std::string& path)
      : table_(table), name_(std::move(name)), path_(path) {}

  /// A misspelt key names the nearest known one.
  [[nodiscard]] Result<void> check_keys(const TableKeys& keys) const;
  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
  [[nodiscard]] const toml::node* find(std::string_view key) const { return table_.get(key); }

  [[nodiscard]] Result<void> read(std::string_view key, std::string& out) const;
  [[nodiscard]] Result<void> read(std::string_view key, std::vector<std::string>& out) const;
  [[nodiscard]] Result<void> read_truth(std::string_view key, bool& out) const;
  [[nodiscard]] Result<void> read_count(std::string_view key, std::uint64_t& out) const;
  [[nodiscard]] Result<void> read_integer(std::string_view key, std::int64_t& out) const;
  /// A string with a unit, or a plain number of bytes.
  [[nodiscard]] Result<void> read_bytes(std::string_view key, std::uint64_t& out) const;
  /// The same, decimal units too ("10TB").
  [[nodiscard]] Result<void> read_storage_bytes(std::string_view key, std::uint64_t& out) const;
  /// A string with a unit, or the number 0.
  [[nodiscard]] Result<void> read_duration(std::string_view key, std::uint64_t& out_ns) const;
  /// The tables of [[key]]; empty if there is none.
  [[nodiscard]] Result<std::vector<const toml::table*>> tables(std::string_view key) const;
  /// The table of [key]; null if there is none.
  [[nodiscard]] Result<const toml::table*> table(std::string_view key) const;

  /// "FILE:LINE: name: message", with the line of the key, or of the table where the key is not
  /// there.
  [[nodiscard]] tl::unexpected<Error> complain(std::string_view key,
                                               const std::string& message) const;

 private:
  using SizeParser = Result<std::uint64_t> (*)(std::string_view);

  [[nodiscard]] Result<void> read_size(std::string_view key, std::uint64_t& out,
                                       SizeParser parse) const;
  [[nodiscard]] tl::unexpected<Error> complain_at(const toml::source_region& place,
                                                  const std::string& message) const;

  const toml::table& table_;
  std::string name_;
  const std::string& path_;
};

}  // namespace spillway::core
