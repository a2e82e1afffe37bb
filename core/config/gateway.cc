#include "spillway/core/gateway.h"

#include <array>
#include <optional>
#include <string_view>

#include "core/format/checksum.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/format.h"

namespace spillway::core {

namespace {

constexpr std::size_t kFileBytesMax = 4096;
constexpr std::size_t kHealBytesMax = 512;  // each bit costs a walk over all of them

/// The file's lines. An empty hash: the gateway was made on a machine without an id.
struct GatewayFile {
  Gateway gateway;
  std::string machine_hash;
  bool healed = false;  // one bit of the file on the disk is wrong
};

std::string path_in(const std::string& spill_dir) { return spill_dir + "/gateway"; }

std::string digest_of(std::string_view text, std::uint64_t seed) {
  const std::uint64_t digest = xxh3(std::as_bytes(std::span(text)), seed);
  std::string hex;
  for (int shift = 60; shift >= 0; shift -= 4) hex += "0123456789abcdef"[digest >> shift & 0xF];
  return hex;
}

/// 128 bits in hex: the machine id itself is to stay on the machine (machine-id(5)).
std::string hash_of(const std::string& machine_id) {
  if (machine_id.empty()) return "";
  return digest_of(machine_id, magic_of("MACHINE1")) + digest_of(machine_id, magic_of("MACHINE2"));
}

/// The last line: half of the other lines' bits can change and still read well.
std::string check_line(std::string_view text) { return "check = " + digest_of(text, 0) + "\n"; }

std::string text_of(const GatewayFile& file) {
  std::string text = "id = " + file.gateway.id.text() + "\n";
  if (!file.machine_hash.empty()) text += "machine = " + file.machine_hash + "\n";
  if (!file.gateway.cloned_from.is_nil()) {
    text += "cloned_from = " + file.gateway.cloned_from.text() + "\n";
  }
  return text + check_line(text);
}

/// False if the line says nothing that this file may say.
bool take_line(std::string_view line, GatewayFile& file) {
  constexpr std::string_view kParting = " = ";
  const std::size_t at = line.find(kParting);
  if (at == std::string_view::npos) return false;
  const std::string_view key = line.substr(0, at);
  const std::string_view value = line.substr(at + kParting.size());
  if (key == "machine") {
    file.machine_hash = value;
    return !value.empty();
  }
  const std::optional<Uuid> id = Uuid::parse(value);
  if (!id) return false;
  if (key == "id") file.gateway.id = *id;
  if (key == "cloned_from") file.gateway.cloned_from = *id;
  return key == "id" || key == "cloned_from";
}

std::optional<GatewayFile> parse(std::string_view text) {
  const std::size_t check = text.rfind("check = ");
  if (check == std::string_view::npos) return std::nullopt;
  std::string_view rest = text.substr(0, check);
  if (text.substr(check) != check_line(rest)) return std::nullopt;
  GatewayFile file;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    // A line without its end was cut off: half an id must not pass for one.
    if (end == std::string_view::npos || !take_line(rest.substr(0, end), file)) return std::nullopt;
    rest.remove_prefix(end + 1);
  }
  if (file.gateway.id.is_nil()) return std::nullopt;
  return file;
}

/// A gateway that took a new id over one decayed cell would send everything twice.
std::optional<GatewayFile> heal(std::string text) {
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    const auto mask = static_cast<char>(1U << (bit % 8));
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ mask);
    if (auto file = parse(text)) {
      file->healed = true;
      return file;
    }
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ mask);
  }
  return std::nullopt;
}

Result<GatewayFile> load_file(env::Env& env, const std::string& path) {
  SPILLWAY_TRY(bytes, env::read_file(env, path, kFileBytesMax));
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (auto file = parse(text)) return *file;
  if (text.size() <= kHealBytesMax) {
    if (auto file = heal(text)) return *file;
  }
  return fail(
      ErrorCode::kCorrupt,
      "reading " + path +
          ": it is damaged; restore it from a backup, or remove it to become a new gateway");
}

Result<void> store_file(env::Env& env, const std::string& path, const GatewayFile& file) {
  const std::string text = text_of(file);
  return env::replace_file(env, path, std::as_bytes(std::span(text)));
}

Uuid new_id(env::Env& env) {
  const std::uint64_t high = env.random_u64();
  return Uuid::from_random(high, env.random_u64());
}

}  // namespace

Result<Gateway> load_gateway(env::Env& env, const std::string& spill_dir) {
  auto file = load_file(env, path_in(spill_dir));
  if (file) return file->gateway;
  Error error = std::move(file).error();
  if (error.code == ErrorCode::kNotFound) error.message += "; start the agent once to make it";
  return tl::unexpected(std::move(error));
}

Result<Gateway> claim_gateway(env::Env& env, const std::string& spill_dir,
                              const std::string& machine_id, const Gateway& known) {
  const std::string path = path_in(spill_dir);
  const std::string hash = hash_of(machine_id);
  SPILLWAY_TRY(there, env.exists(path));
  GatewayFile file;
  if (there) {
    SPILLWAY_TRY(loaded, load_file(env, path));
    file = loaded;
    const bool is_ours = hash.empty() || file.machine_hash == hash;
    if (is_ours && file.healed) SPILLWAY_CHECKED(store_file(env, path, file));
    if (is_ours) return file.gateway;
    // Made where there was no machine id: this machine's is noted now, and nothing says that it was
    // cloned.
    const bool cloned = !file.machine_hash.empty();
    if (cloned) file.gateway = {new_id(env), file.gateway.id};
  } else {
    SPILLWAY_CHECKED(env.make_directories(spill_dir));
    file.gateway = known.id.is_nil() ? Gateway{new_id(env), {}} : known;
  }
  file.machine_hash = hash;
  SPILLWAY_CHECKED(store_file(env, path, file));
  return file.gateway;
}

std::string read_machine_id() {
  for (const char* path : {"/etc/machine-id", "/var/lib/dbus/machine-id"}) {
    const auto bytes = env::read_file(env::posix_env(), path, kFileBytesMax);
    if (!bytes) continue;
    std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    text.erase(std::min(text.find('\n'), text.size()));
    // systemd writes "uninitialized" into images that have not booted yet.
    if (!text.empty() && text != "uninitialized") return text;
  }
  return "";
}

}  // namespace spillway::core
