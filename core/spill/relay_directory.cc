#include "spillway/core/relay_directory.h"

#include <algorithm>

#include "core/spill/checked_text.h"
#include "core/spill/paths.h"

namespace spillway::core {

namespace {

constexpr const char* kOriginName = "origin";
constexpr std::size_t kOriginBytesMax = 4096;
constexpr std::size_t kNameBytesMax = 63;

std::string origin_text(const Uuid& gateway, const std::string& gateway_name) {
  return with_check("gateway = " + gateway.text() + "\nname = " + gateway_name + "\n");
}

std::optional<std::string> read_text(env::Env& env, const std::string& path) {
  const auto bytes = env::read_file(env, path, kOriginBytesMax);
  if (!bytes) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

/// A damaged file costs the name and nothing else: the id stands in the directory's name.
std::string name_in(env::Env& env, const std::string& path, const Uuid& gateway) {
  constexpr std::string_view kKey = "name = ";
  const auto text = read_text(env, path);
  auto rest = text ? without_check(*text) : std::nullopt;
  std::string_view line;
  while (rest && take_line(*rest, line)) {
    if (line.starts_with(kKey)) return std::string(line.substr(kKey.size()));
  }
  return gateway.text();
}

}  // namespace

std::string foreign_directory(const std::string& relay_directory, const Uuid& gateway,
                              const std::string& stream) {
  return join(join(relay_directory, gateway.text()), stream);
}

bool is_foreign_stream_name(const std::string& stream) {
  return !stream.empty() && stream.size() <= kNameBytesMax &&
         std::all_of(stream.begin(), stream.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

Result<void> note_origin(env::Env& env, const std::string& relay_directory, const Uuid& gateway,
                         const std::string& gateway_name) {
  const std::string directory = join(relay_directory, gateway.text());
  const std::string path = join(directory, kOriginName);
  std::string name = gateway_name.empty() ? gateway.text() : gateway_name;
  std::replace(name.begin(), name.end(), '\n', '?');
  const std::string text = origin_text(gateway, name);
  if (read_text(env, path) == text) return {};
  SPILLWAY_CHECKED(env.make_directories(directory));
  SPILLWAY_CHECKED(env.sync_directory(relay_directory));
  return env::replace_file(env, path, std::as_bytes(std::span(text)));
}

Result<std::vector<ForeignPlace>> list_foreign_streams(env::Env& env,
                                                       const std::string& relay_directory) {
  SPILLWAY_TRY(gateways, env.list(relay_directory));
  std::vector<ForeignPlace> places;
  for (const std::string& entry : gateways) {
    const auto gateway = Uuid::parse(entry);
    if (!gateway) continue;
    const std::string directory = join(relay_directory, entry);
    const auto streams = env.list(directory);
    if (!streams) continue;
    const std::string name = name_in(env, join(directory, kOriginName), *gateway);
    for (const std::string& stream : *streams) {
      if (stream == kOriginName || !is_foreign_stream_name(stream)) continue;
      places.push_back({*gateway, name, stream, join(directory, stream)});
    }
  }
  return places;
}

}  // namespace spillway::core
