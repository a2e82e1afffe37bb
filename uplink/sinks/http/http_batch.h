// HttpBatch: messages as one POST's body: NDJSON, a line for each.
//
// A line has the envelope's headers as its members, without their "spillway-", and the payload: `payload` where
// it is JSON, else `payload_base64`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "uplink/sinks/sink.h"

namespace spillway::uplink {

class HttpBatch {
 public:
  void add(const SinkMessage& message);
  void clear() { *this = {}; }
  /// The lines [first, end), for a server that must say which of them it does not take.
  [[nodiscard]] HttpBatch part(std::size_t first, std::size_t end) const;

  [[nodiscard]] bool empty() const { return lines_.empty(); }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }
  [[nodiscard]] const std::string& body() const { return body_; }
  [[nodiscard]] std::uint64_t ticket(std::size_t line) const { return lines_[line].ticket; }
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
};

}  // namespace spillway::uplink
