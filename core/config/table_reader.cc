#include "core/config/table_reader.h"

#include <algorithm>
#include <numeric>

#include "spillway/core/config.h"

namespace spillway::core {

namespace {

/// Levenshtein's distance, one row at a time.
std::size_t distance_of(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string_view nearest(std::string_view key, std::span<const std::string_view> known) {
  return *std::min_element(known.begin(), known.end(),
                           [key](std::string_view a, std::string_view b) {
                             return distance_of(key, a) < distance_of(key, b);
                           });
}

bool contains(std::span<const std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

tl::unexpected<Error> TableReader::complain_at(const toml::source_region& place,
                                               const std::string& message) const {
  return fail(ErrorCode::kInvalidArgument,
              path_ + ":" + std::to_string(place.begin.line) + ": " + name_ + ": " + message);
}

tl::unexpected<Error> TableReader::complain(std::string_view key,
                                            const std::string& message) const {
  const toml::node* node = table_.get(key);
  return complain_at(node != nullptr ? node->source() : table_.source(), message);
}

Result<void> TableReader::check_keys(const TableKeys& keys) const {
  // In the file's order, not the table's: the first mistake is the one a person looks at.
  const toml::key* first = nullptr;
  for (const auto& [key, value] : table_) {
    if (contains(keys.known, key.str())) continue;
    if (first == nullptr || key.source().begin < first->source().begin) first = &key;
  }
  if (first == nullptr) return {};
  const std::string quoted = "\"" + std::string(first->str()) + "\"";
  if (contains(keys.later, first->str())) {
    return complain_at(first->source(), quoted + " is not supported by this version; remove it");
  }
  return complain_at(first->source(), "unknown key " + quoted + "; did you mean \"" +
                                          std::string(nearest(first->str(), keys.known)) + "\"?");
}

Result<void> TableReader::read(std::string_view key, std::string& out) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto* text = node->as_string();
  if (text == nullptr) {
    return complain(key, std::string(key) + " must be a string in double quotes");
  }
  out = text->get();
  return {};
}

Result<void> TableReader::read(std::string_view key, std::vector<std::string>& out) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const std::string wanted =
      std::string(key) + " must be a list of strings, such as [\"a\", \"b\"]";
  const toml::array* list = node->as_array();
  if (list == nullptr) return complain(key, wanted);
  out.clear();
  for (const toml::node& item : *list) {
    const auto* text = item.as_string();
    if (text == nullptr) return complain_at(item.source(), wanted);
    out.push_back(text->get());
  }
  return {};
}

Result<void> TableReader::read_truth(std::string_view key, bool& out) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto* truth = node->as_boolean();
  if (truth == nullptr) return complain(key, std::string(key) + " must be true or false");
  out = truth->get();
  return {};
}

Result<void> TableReader::read_count(std::string_view key, std::uint64_t& out) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto* number = node->as_integer();
  if (number == nullptr || number->get() <= 0) {
    return complain(key, std::string(key) + " must be a whole number above 0");
  }
  out = static_cast<std::uint64_t>(number->get());
  return {};
}

Result<void> TableReader::read_integer(std::string_view key, std::int64_t& out) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto* number = node->as_integer();
  if (number == nullptr) return complain(key, std::string(key) + " must be a whole number");
  out = number->get();
  return {};
}

Result<void> TableReader::read_bytes(std::string_view key, std::uint64_t& out) const {
  return read_size(key, out, parse_bytes);
}

Result<void> TableReader::read_storage_bytes(std::string_view key, std::uint64_t& out) const {
  return read_size(key, out, parse_storage_bytes);
}

Result<void> TableReader::read_size(std::string_view key, std::uint64_t& out,
                                    SizeParser parse) const {
  const toml::node* node = table_.get(key);
  if (node != nullptr && node->is_integer()) return read_count(key, out);
  std::string text;
  SPILLWAY_CHECKED(read(key, text));
  if (node == nullptr) return {};
  const Result<std::uint64_t> bytes = parse(text);
  if (!bytes) return complain(key, std::string(key) + ": " + bytes.error().message);
  out = *bytes;
  return {};
}

Result<void> TableReader::read_duration(std::string_view key, std::uint64_t& out_ns) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  std::string text = "0";
  const auto* number = node->as_integer();
  if (number == nullptr || number->get() != 0) {
    if (!node->is_string()) {
      return complain(
          key, std::string(key) + " must be a string with a unit, such as \"5ms\" or \"1s\"");
    }
    SPILLWAY_CHECKED(read(key, text));
  }
  const Result<std::uint64_t> duration_ns = parse_duration_ns(text);
  if (!duration_ns) return complain(key, std::string(key) + ": " + duration_ns.error().message);
  out_ns = *duration_ns;
  return {};
}

Result<std::vector<const toml::table*>> TableReader::tables(std::string_view key) const {
  std::vector<const toml::table*> found;
  const toml::node* node = table_.get(key);
  if (node == nullptr) return found;
  const std::string wanted = "write [[" + std::string(key) + "]] in double brackets for each one";
  const toml::array* list = node->as_array();
  if (list == nullptr) return complain(key, wanted);
  for (const toml::node& item : *list) {
    const toml::table* table = item.as_table();
    if (table == nullptr) return complain(key, wanted);
    found.push_back(table);
  }
  return found;
}

Result<const toml::table*> TableReader::table(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return nullptr;
  const toml::table* found = node->as_table();
  if (found == nullptr) {
    return complain(key, std::string(key) + " must be a table in single brackets");
  }
  return found;
}

}  // namespace spillway::core
