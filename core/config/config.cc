#include "spillway/core/config.h"

#include <array>

#include "core/config/sections.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 8> kKeys{"gateway", "stream", "uplink",  "consumer",
                                                "iceoryx", "api",    "capture", "mqtt"};
constexpr std::array<std::string_view, 4> kLaterKeys{"ingest", "workflow", "sink", "agent"};
/// Far above what a person writes; a wrong file (a database, a log) is refused before it is read
/// whole.
constexpr std::size_t kFileBytesMax = 1 << 20;

Result<Config> read_root(const toml::table& root, const std::string& path) {
  Config config;
  config.path = path;
  config.gateway = default_gateway();
  const TableReader reader(root, "the file", config.path);
  SPILLWAY_CHECKED(reader.check_keys({kKeys, kLaterKeys}));
  SPILLWAY_TRY(gateway, reader.table("gateway"));
  if (gateway != nullptr) SPILLWAY_CHECKED(read_gateway(*gateway, config));
  SPILLWAY_TRY(streams, reader.tables("stream"));
  for (const toml::table* stream : streams) SPILLWAY_CHECKED(read_stream(*stream, config));
  if (config.streams.empty()) config.streams.push_back(default_stream());
  SPILLWAY_TRY(uplinks, reader.tables("uplink"));
  for (const toml::table* uplink : uplinks) SPILLWAY_CHECKED(read_uplink(*uplink, config));
  SPILLWAY_TRY(consumer, reader.table("consumer"));
  if (consumer != nullptr) SPILLWAY_CHECKED(read_consumer(*consumer, config));
  SPILLWAY_TRY(iceoryx, reader.table("iceoryx"));
  if (iceoryx != nullptr) SPILLWAY_CHECKED(read_iceoryx(*iceoryx, config));
  SPILLWAY_TRY(api, reader.table("api"));
  if (api != nullptr) SPILLWAY_CHECKED(read_api(*api, config));
  SPILLWAY_TRY(captures, reader.tables("capture"));
  for (const toml::table* capture : captures) SPILLWAY_CHECKED(read_capture(*capture, config));
  SPILLWAY_TRY(mqtt, reader.table("mqtt"));
  if (mqtt != nullptr) SPILLWAY_CHECKED(read_mqtt_ingest(*mqtt, config));
  return config;
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& path) {
  try {
    const toml::table root = toml::parse(text, path);
    return read_root(root, path);
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kInvalidArgument, path + ":" +
                                                 std::to_string(error.source().begin.line) + ": " +
                                                 std::string(error.description()));
  }
}

Result<Config> load_config(const std::string& path) {
  auto bytes = env::read_file(env::posix_env(), path, kFileBytesMax);
  if (!bytes) {
    Error error = std::move(bytes).error();
    error.message = "configuration: " + error.message;
    // A file that is too large is no damage; it is the wrong file.
    if (error.code == ErrorCode::kCorrupt) error.code = ErrorCode::kInvalidArgument;
    return tl::unexpected(std::move(error));
  }
  return parse_config({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, path);
}

}  // namespace spillway::core
