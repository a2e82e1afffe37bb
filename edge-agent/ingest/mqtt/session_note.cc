#include "edge-agent/ingest/mqtt/session_note.h"

#include <algorithm>
#include <boost/json.hpp>

#include "spillway/core/log.h"

namespace spillway::agent::mqtt {

using core::Result;

namespace {

namespace json = boost::json;

constexpr std::size_t kFileBytesMax = 1U << 20;

std::string text_in(const json::object& object, std::string_view key) {
  const json::value* const value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : "";
}

bool contains(const std::vector<std::string>& filters, const std::string& filter) {
  return std::find(filters.begin(), filters.end(), filter) != filters.end();
}

std::string path_in(const std::string& directory) { return directory + "/session.json"; }

/// Null if there is none, or none that can be read as one.
Result<json::value> read_document(core::env::Env& env, const std::string& path) {
  SPILLWAY_TRY(there, env.exists(path));
  if (!there) return json::value();
  SPILLWAY_TRY(bytes, core::env::read_file(env, path, kFileBytesMax));
  boost::system::error_code error;
  json::value document = json::parse(
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), error);
  if (!error && document.is_object()) return document;
  spdlog::warn("{} cannot be read: what the session was subscribed to before is not known", path);
  return json::value();
}

}  // namespace

Result<SessionNote> SessionNote::read(core::env::Env& env, const core::MqttIngestConfig& config) {
  SessionNote note;
  note.directory_ = config.state_dir;
  note.broker_ = config.url.hosts_text();
  note.client_id_ = config.client_id;
  SPILLWAY_TRY(document, read_document(env, path_in(note.directory_)));
  if (!document.is_object()) return note;
  const json::object& object = document.as_object();
  const std::string broker = text_in(object, "broker");
  const std::string client_id = text_in(object, "client_id");
  if (broker != note.broker_ || client_id != note.client_id_) {
    spdlog::warn(
        "the session of {} at {} is used no more: what that broker holds for it stays there until "
        "it expires",
        client_id, broker);
    return note;
  }
  const json::value* const filters = object.if_contains("filters");
  if (filters == nullptr || !filters->is_array()) return note;
  for (const json::value& filter : filters->as_array()) {
    if (filter.is_string()) note.filters_.emplace_back(filter.as_string());
  }
  return note;
}

std::vector<std::string> SessionNote::former(const std::vector<std::string>& wanted) const {
  std::vector<std::string> former;
  std::copy_if(filters_.begin(), filters_.end(), std::back_inserter(former),
               [&](const std::string& filter) { return !contains(wanted, filter); });
  return former;
}

Result<void> SessionNote::add(core::env::Env& env, const std::vector<std::string>& wanted) {
  std::vector<std::string> all = former(wanted);
  all.insert(all.end(), wanted.begin(), wanted.end());
  return store(env, std::move(all));
}

Result<void> SessionNote::settle(core::env::Env& env, std::vector<std::string> wanted) {
  return store(env, std::move(wanted));
}

Result<void> SessionNote::store(core::env::Env& env, std::vector<std::string> filters) {
  std::sort(filters.begin(), filters.end());
  if (filters == filters_) return {};
  SPILLWAY_CHECKED(env.make_directories(directory_));
  const std::string text = json::serialize(json::object{
      {"broker", broker_}, {"client_id", client_id_}, {"filters", json::value_from(filters)}});
  SPILLWAY_CHECKED(
      core::env::replace_file(env, path_in(directory_), std::as_bytes(std::span(text))));
  filters_ = std::move(filters);
  return {};
}

}  // namespace spillway::agent::mqtt
