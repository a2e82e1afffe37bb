// The API's JSON fuzzer: hostile bodies against schemas of every kind of field. What it shows: no crash,
// and that what is built of a body is a record that its schema verifies and that can be printed again.
//
// The first byte says how the body is read.
#include <array>
#include <vector>

#include "edge-agent/ingest/api/body.h"
#include "edge-agent/ingest/api/topic_schema.h"
#include "spillway/core/record_json.h"
#include "tests/fuzz/promise.h"

namespace spillway::fuzz {
namespace {

using namespace agent::api;

constexpr std::string_view kSchema =
    "struct Point { x:float; y:byte; z:[short:2]; } enum Color:ubyte { Red, Green = 5 }\n"
    "enum Flags:uint (bit_flags) { A, B, C } table Leaf { name:string (key); next:Leaf; }\n"
    "table Other { v:[ubyte]; } union Any { Leaf, Other }\n"
    "table Root { b:bool; i:int = 7; l:ulong; d:double; o:int = null; s:string; p:Point; c:Color; "
    "f:Flags;\n"
    "  leaf:Leaf; leaves:[Leaf]; points:[Point]; names:[string]; any:Any; anys:[Any]; "
    "colors:[Color]; }\n"
    "root_type Root; file_identifier \"FUZZ\";";

std::shared_ptr<TopicSchema> make_schema() {
  const auto bfbs = compile_schema(std::as_bytes(std::span(kSchema)));
  check(bfbs.has_value(), "the fuzzer's own schema is good");
  return *TopicSchema::make(*bfbs);
}

void run(std::string_view input) {
  static const std::shared_ptr<TopicSchema> schema = make_schema();
  static const std::unique_ptr<core::RecordJson> printer = core::RecordJson::make(schema->bfbs());
  if (input.empty()) return;
  constexpr std::array kKinds{BodyKind::kJson, BodyKind::kLines, BodyKind::kRecord,
                              BodyKind::kRecordsPrefix};
  const BodyKind kind = kKinds[static_cast<unsigned char>(input.front()) % kKinds.size()];
  const auto texts = split_body(kind, input.substr(1), 100);
  if (!texts) return;
  check(texts->size() <= 100, "no more records than asked for");
  for (const std::string_view text : *texts) {
    check(text.data() >= input.data() && text.data() + text.size() <= input.data() + input.size(),
          "a record lies in its body");
    std::vector<std::uint64_t> aligned(text.size() / 8 + 1);
    std::memcpy(aligned.data(), text.data(), text.size());
    static_cast<void>(schema->verify(std::as_bytes(std::span(aligned)).first(text.size())));
    const auto record = schema->build(text);
    if (!record) continue;
    aligned.assign(record->size() / 8 + 1, 0);
    std::memcpy(aligned.data(), record->data(), record->size());
    const auto copy = std::as_bytes(std::span(aligned)).first(record->size());
    check(schema->verify(copy), "what was built verifies");
    check(printer->print(copy).has_value(), "and can be printed");
  }
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillway::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
