// The API's schema fuzzer: hostile .fbs texts and .bfbs bytes. What it shows: no crash, and that a schema
// that is taken can be worked with, comes back the same from its own bytes, and is compatible with itself.
#include "edge-agent/ingest/api/schema_change.h"
#include "edge-agent/ingest/api/topic_schema.h"
#include "tests/fuzz/promise.h"

namespace spillway::fuzz {
namespace {

using namespace agent::api;

void run(std::span<const std::byte> sent) {
  const auto bfbs = compile_schema(sent);
  if (!bfbs) return;
  const auto again = compile_schema(*bfbs);
  check(again && *again == *bfbs, "what was compiled compiles to itself");
  check(!why_incompatible(*bfbs, *bfbs), "a schema is compatible with itself");
  const auto schema = TopicSchema::make(*bfbs);
  if (!schema) return;
  for (const char* json : {"{}", "{\"a\":1}", "{\"a\":{\"a\":1,\"b\":2}}", "{\"a\":[{\"a\":1}]}",
                           "{\"a\":\"x\"}", "{\"a_type\":\"b\",\"a\":{}}", "{\"a\":[1,2,3]}"}) {
    const auto record = (*schema)->build(json);
    if (!record) continue;
    std::vector<std::uint64_t> aligned(record->size() / 8 + 1);
    std::memcpy(aligned.data(), record->data(), record->size());
    check((*schema)->verify(std::as_bytes(std::span(aligned)).first(record->size())),
          "what was built verifies");
  }
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillway::fuzz::run(std::as_bytes(std::span(data, size)));
  return 0;
}
