#include "edge-agent/cli/status_json.h"

#include <boost/json.hpp>

namespace spillway::cli {

namespace json = boost::json;

const json::value* member(const json::value& value, std::string_view key) {
  const auto* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(key);
}

std::string text(const json::value& value, std::string_view key) {
  const auto* found = member(value, key);
  if (found == nullptr || found->is_null()) return "-";
  if (const auto* string = found->if_string()) return std::string(*string);
  return json::serialize(*found);
}

std::uint64_t number(const json::value& value, std::string_view key) {
  const auto* found = member(value, key);
  if (found == nullptr) return 0;
  if (found->is_uint64()) return found->get_uint64();
  if (found->is_int64() && found->get_int64() > 0) {
    return static_cast<std::uint64_t>(found->get_int64());
  }
  return 0;
}

const json::array& list(const json::value& value, std::string_view key) {
  static const json::array empty;
  const auto* found = member(value, key);
  const auto* array = found == nullptr ? nullptr : found->if_array();
  return array == nullptr ? empty : *array;
}

bool is_true(const json::value& value, std::string_view key) {
  const auto* found = member(value, key);
  return found != nullptr && found->is_bool() && found->get_bool();
}

}  // namespace spillway::cli
