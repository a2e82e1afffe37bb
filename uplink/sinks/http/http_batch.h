// HttpBatch: messages as one POST: NDJSON, a line for each, or a block of records as it stands in the spill.
//
// A line has the envelope's headers as its members, without their "spillway-", and the payload: `payload` where
// it is JSON, else `payload_base64`. A block is the body, and its envelope's headers are the request's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "uplink/sinks/sink.h"

namespace spillway::uplink {

class HttpBatch {
 public:
  [[nodiscard]] static HttpBatch of_blocks(const SinkMessage& message);
  /// Of anything else.
  void add(const SinkMessage& message);
  void clear() { *this = {}; }
  /// The lines [first, end), for a server that must say which of them it does not take.
  [[nodiscard]] HttpBatch part(std::size_t first, std::size_t end) const;

  [[nodiscard]] bool empty() const { return lines_.empty(); }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }
  [[nodiscard]] const std::string& body() const { return body_; }
  [[nodiscard]] std::uint64_t ticket(std::size_t line) const { return lines_[line].ticket; }
  /// What its body is, and what the request says of it: "name: value".
  [[nodiscard]] const std::vector<std::string>& headers() const { return headers_; }
  /// The same for the same lines: Idempotency-Key.
  [[nodiscard]] std::string key() const;

 private:
  struct Line {
    std::uint64_t ticket = 0;
    std::size_t begin = 0;
    std::string id;
  };
  std::string body_;
  std::vector<Line> lines_;
  std::vector<std::string> headers_{"Content-Type: application/x-ndjson"};
};

}  // namespace spillway::uplink
