#include "edge-agent/cli/schema_file.h"

#include <flatbuffers/reflection.h>

#include <algorithm>
#include <filesystem>

#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::cli {
namespace {

constexpr std::size_t kSchemaBytesMax = 4 << 20;
constexpr flatbuffers::uoffset_t kDepthMax = 64;
constexpr flatbuffers::uoffset_t kTablesMax = 1'000'000;

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
  SPILLWAY_TRY(bytes, core::env::read_file(core::env::posix_env(), path, kSchemaBytesMax));
  const auto wrong = [&path](const std::string& why) {
    return core::fail(core::ErrorCode::kInvalidArgument, "schema " + path + ": " + why);
  };
  if (path.ends_with(".bfbs")) {
    auto schema = from_bfbs(bytes);
    if (!schema)
      return wrong("not a binary schema with a root type; make it with flatc -b --schema");
    return schema;
  }
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const char* includes[] = {folder.empty() ? "." : folder.c_str(), nullptr};
  flatbuffers::Parser parser;
  if (!parser.Parse(text.c_str(), includes, path.c_str())) return wrong(one_line(parser.error_));
  if (parser.root_struct_def_ == nullptr) return wrong("it names no root_type");
  parser.Serialize();
  auto schema = from_bfbs(
      std::as_bytes(std::span(parser.builder_.GetBufferPointer(), parser.builder_.GetSize())));
  if (!schema) return wrong("it cannot be used");
  return schema;
}

std::unique_ptr<SchemaFile> SchemaFile::from_bfbs(std::span<const std::byte> bfbs) {
  std::unique_ptr<SchemaFile> schema(new SchemaFile());
  if (!schema->adopt(bfbs)) return nullptr;
  return schema;
}

bool SchemaFile::adopt(std::span<const std::byte> bfbs) {
  bfbs_.assign(bfbs.begin(), bfbs.end());
  flatbuffers::Verifier verifier(octets(bfbs_), bfbs_.size(), kDepthMax, kTablesMax);
  if (!reflection::VerifySchemaBuffer(verifier)) return false;
  if (reflection::GetSchema(bfbs_.data())->root_table() == nullptr) return false;
  parser_.opts.strict_json = true;
  parser_.opts.indent_step = -1;  // one line
  parser_.opts.output_default_scalars_in_json = true;
  parser_.opts.natural_utf8 = true;
  if (!parser_.Deserialize(octets(bfbs_), bfbs_.size())) return false;
  fingerprint_ = agent::schema_fingerprint(bfbs_);
  return true;
}

std::optional<std::string> SchemaFile::to_json(std::span<const std::byte> record) {
  aligned_.assign(record.begin(), record.end());
  const auto& schema = *reflection::GetSchema(bfbs_.data());
  if (!flatbuffers::Verify(schema, *schema.root_table(), octets(aligned_), aligned_.size(),
                           kDepthMax, kTablesMax)) {
    return std::nullopt;
  }
  std::string text;
  if (!flatbuffers::GenerateText(parser_, aligned_.data(), &text)) return std::nullopt;
  return one_line(std::move(text));
}

}  // namespace spillway::cli
