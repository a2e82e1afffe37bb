#include "edge-agent/cli/schema_file.h"

#include <algorithm>
#include <filesystem>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/schema.h"

namespace spillway::cli {
namespace {

const std::uint8_t* octets(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

}  // namespace

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

core::Result<std::unique_ptr<SchemaFile>> SchemaFile::load(const std::string& path) {
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), path, kBytesMax));
  const auto wrong = [&path](const std::string& why) {
    return core::fail(core::ErrorCode::kInvalidArgument, "schema " + path + ": " + why);
  };
  std::unique_ptr<SchemaFile> schema(new SchemaFile());
  if (path.ends_with(".bfbs")) {
    if (const auto sound = core::check_schema(bytes, kBytesMax); !sound) {
      return wrong(sound.error().message);
    }
    if (!schema->adopt(bytes)) return wrong("it cannot be used");
    return schema;
  }
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const char* includes[] = {folder.empty() ? "." : folder.c_str(), nullptr};
  flatbuffers::Parser parser;
  if (!parser.Parse(text.c_str(), includes, path.c_str())) return wrong(one_line(parser.error_));
  if (parser.root_struct_def_ == nullptr) return wrong("it names no root_type");
  parser.Serialize();
  const std::span serialized(parser.builder_.GetBufferPointer(), parser.builder_.GetSize());
  if (!schema->adopt(std::as_bytes(serialized))) return wrong("it cannot be used");
  return schema;
}

bool SchemaFile::adopt(std::span<const std::byte> bfbs) {
  bfbs_.assign(bfbs.begin(), bfbs.end());
  parser_.opts.strict_json = true;
  return parser_.Deserialize(octets(bfbs_), bfbs_.size());
}

}  // namespace spillway::cli
