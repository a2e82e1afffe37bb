// PayloadMaker: what stands in a message's payload: a record's own bytes, or JSON by the schema that
// came with it.
//
// One thread, no I/O. One per stream: fingerprints are the origin's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "spillway/core/engine_config.h"
#include "spillway/core/record_json.h"
#include "spillway/core/result.h"
#include "uplink/protocol/envelope.h"

namespace spillway::uplink {

struct Payload {
  std::span<const std::byte> bytes;  // good until the next call
  std::string_view content_type;     // empty where there are none
};

class PayloadMaker {
 public:
  explicit PayloadMaker(core::EnginePayload kind) : kind_(kind) {}

  /// Of a schema's message the schema is learnt. kRefused, and why: the record cannot be made into
  /// what is wanted.
  [[nodiscard]] core::Result<Payload> make(const Envelope& envelope,
                                           std::span<const std::byte> bytes);

 private:
  [[nodiscard]] core::Result<Payload> print(const Envelope& envelope,
                                            std::span<const std::byte> record);

  core::EnginePayload kind_;
  std::map<std::uint64_t, std::unique_ptr<core::RecordJson>>
      schemas_;  // StreamUnpacker bounds them
  std::string json_;
};

}  // namespace spillway::uplink
