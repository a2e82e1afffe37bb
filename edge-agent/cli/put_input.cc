#include "edge-agent/cli/put_input.h"

#include <flatbuffers/idl.h>

#include <istream>
#include <iterator>

#include "edge-agent/cli/schema_file.h"
#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/format.h"
#include "spillway/schemas/text_generated.h"

namespace spillway::cli {
namespace {

Record record_of(const flatbuffers::FlatBufferBuilder& builder) {
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

/// Each line becomes a Line of text.fbs.
class LineInput final : public RecordInput {
 public:
  explicit LineInput(std::istream& stream) : stream_(stream) {}

  core::Result<std::optional<Record>> next() override {
    if (!std::getline(stream_, line_)) return std::optional<Record>();
    builder_.Clear();
    text::FinishLineBuffer(builder_, text::CreateLine(builder_, builder_.CreateString(line_)));
    return std::optional<Record>(record_of(builder_));
  }
  std::span<const std::byte> schema() const override { return agent::text_schema().bfbs; }

 private:
  std::istream& stream_;
  std::string line_;
  flatbuffers::FlatBufferBuilder builder_;
};

/// The whole input is one record, taken as it is.
class FlatbufferInput final : public RecordInput {
 public:
  FlatbufferInput(std::istream& stream, std::unique_ptr<SchemaFile> schema)
      : stream_(stream), schema_(std::move(schema)) {}

  core::Result<std::optional<Record>> next() override {
    if (done_) return std::optional<Record>();
    done_ = true;
    Record record;
    std::array<char, 64 * 1024> piece{};
    while (stream_.read(piece.data(), piece.size()), stream_.gcount() > 0) {
      const auto bytes =
          std::as_bytes(std::span(piece)).first(static_cast<std::size_t>(stream_.gcount()));
      record.insert(record.end(), bytes.begin(), bytes.end());
      if (record.size() > core::kRecordBytesLimit) {
        return core::fail(core::ErrorCode::kInvalidArgument,
                          "the input is larger than any record may be (" +
                              std::to_string(core::kRecordBytesLimit) + " bytes)");
      }
    }
    if (record.empty()) {
      return core::fail(core::ErrorCode::kInvalidArgument,
                        "the input is empty: a record has at least one byte");
    }
    return std::optional<Record>(std::move(record));
  }
  std::span<const std::byte> schema() const override {
    return schema_ ? schema_->bfbs() : std::span<const std::byte>();
  }

 private:
  std::istream& stream_;
  std::unique_ptr<SchemaFile> schema_;  // may be null
  bool done_ = false;
};

/// JSON objects, one after the other, with or without line breaks inside and between.
class JsonInput final : public RecordInput {
 public:
  JsonInput(std::istream& stream, std::unique_ptr<SchemaFile> schema)
      : stream_(stream), schema_(std::move(schema)) {}

  core::Result<std::optional<Record>> next() override {
    SPILLWAY_TRY(text, next_object());
    if (!text) return std::optional<Record>();
    ++count_;
    auto& parser = schema_->parser();
    if (!parser.ParseJson(text->c_str())) {
      return core::fail(core::ErrorCode::kInvalidArgument,
                        "JSON object " + std::to_string(count_) +
                            " does not fit the schema: " + one_line(parser.error_));
    }
    return std::optional<Record>(record_of(parser.builder_));
  }
  std::span<const std::byte> schema() const override { return schema_->bfbs(); }

 private:
  core::Result<std::optional<std::string>> next_object() {
    std::string text;
    int depth = 0;
    bool quoted = false;
    bool escaped = false;
    for (char c = 0; stream_.get(c);) {
      if (depth == 0 && c != '{') {
        if (std::isspace(static_cast<unsigned char>(c)) != 0) continue;
        return core::fail(
            core::ErrorCode::kInvalidArgument,
            std::string("the input is not JSON objects: found '") + c + "' where '{' was expected");
      }
      text.push_back(c);
      if (text.size() > core::kRecordBytesLimit) break;
      if (quoted) {
        if (!escaped && c == '"') quoted = false;
        escaped = !escaped && c == '\\';
        continue;
      }
      if (c == '"') quoted = true;
      if (c == '{') ++depth;
      if (c == '}' && --depth == 0) return std::optional(std::move(text));
    }
    if (text.empty()) return std::optional<std::string>();
    return core::fail(core::ErrorCode::kInvalidArgument,
                      "the input ends inside a JSON object, or the object is too large");
  }

  std::istream& stream_;
  std::unique_ptr<SchemaFile> schema_;
  std::uint64_t count_ = 0;
};

}  // namespace

core::Result<std::unique_ptr<RecordInput>> make_input(InputKind kind, std::istream& stream,
                                                      const std::string& schema_path) {
  const auto wrong = [](const char* why) {
    return core::fail(core::ErrorCode::kInvalidArgument, why);
  };
  if (kind == InputKind::kLines) {
    if (!schema_path.empty()) {
      return wrong("--schema does not go with --input lines, whose schema is built in");
    }
    return std::make_unique<LineInput>(stream);
  }
  if (kind == InputKind::kJson && schema_path.empty()) {
    return wrong("--input json needs --schema FILE.fbs, which says what the JSON means");
  }
  std::unique_ptr<SchemaFile> schema;
  if (!schema_path.empty()) {
    SPILLWAY_TRY(loaded, SchemaFile::load(schema_path));
    schema = std::move(loaded);
  }
  if (kind == InputKind::kFlatbuffer) {
    return std::make_unique<FlatbufferInput>(stream, std::move(schema));
  }
  return std::make_unique<JsonInput>(stream, std::move(schema));
}

}  // namespace spillway::cli
