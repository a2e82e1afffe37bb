#include "uplink/sinks/payload_maker.h"

#include "spillway/core/schema.h"

namespace spillway::uplink {

using core::ErrorCode;
using core::Result;

namespace {

constexpr std::string_view kFlatbuffers = "application/x-flatbuffers";
constexpr std::string_view kBytes = "application/octet-stream";
constexpr std::string_view kJson = "application/json";
/// One record does not hold up the others for longer than this many values take.
constexpr std::size_t kValuesMax = 1'000'000;

}  // namespace

Result<Payload> PayloadMaker::make(const Envelope& envelope, std::span<const std::byte> bytes) {
  switch (envelope.kind) {
    case EnvelopeKind::kSchema:
      if (kind_ == core::EnginePayload::kJson) {
        schemas_[envelope.schema] = core::RecordJson::make(bytes);
      }
      return Payload{bytes, kFlatbuffers};
    case EnvelopeKind::kRecord:
      if (kind_ == core::EnginePayload::kJson) return print(envelope, bytes);
      return Payload{bytes, envelope.schema == 0 ? kBytes : kFlatbuffers};
    case EnvelopeKind::kBlocks:
      return Payload{bytes, kBytes};
    default:
      return Payload{bytes, {}};
  }
}

Result<Payload> PayloadMaker::print(const Envelope& envelope, std::span<const std::byte> record) {
  if (envelope.schema == 0) {
    return core::fail(ErrorCode::kRefused,
                      "no JSON without a schema, and its producer named none (payload = \"json\")");
  }
  const auto found = schemas_.find(envelope.schema);
  if (found == schemas_.end() || found->second == nullptr) {
    return core::fail(
        ErrorCode::kRefused,
        "no JSON: its schema " + core::fingerprint_text(envelope.schema) + " is not in the spill");
  }
  auto text = found->second->print(record, kValuesMax);
  if (!text) {
    return core::fail(ErrorCode::kRefused, "no JSON: it is no record of its schema " +
                                               core::fingerprint_text(envelope.schema));
  }
  json_ = std::move(*text);
  return Payload{std::as_bytes(std::span(json_)), kJson};
}

}  // namespace spillway::uplink
