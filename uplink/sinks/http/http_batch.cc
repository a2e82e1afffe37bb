#include "uplink/sinks/http/http_batch.h"

#include <openssl/evp.h>

#include <boost/json/serialize.hpp>
#include <cinttypes>
#include <cstdio>

#include "spillway/core/format.h"
#include "uplink/sinks/message_name.h"

namespace spillway::uplink {

namespace {

constexpr std::string_view kPrefix = "spillway-";
constexpr std::string_view kJson = "application/json";

void append_member(std::string_view name, std::string_view value, std::string& line) {
  line += line.size() > 1 && line.back() != '{' ? ",\"" : "\"";
  line += name;
  line += "\":";
  line += value;
}

std::string quoted(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

std::string base64(std::span<const std::byte> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // it ends what it writes with a 0
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace

HttpBatch HttpBatch::of_blocks(const SinkMessage& message) {
  HttpBatch batch;
  batch.headers_ = {"Content-Type: " + std::string(message.content_type)};
  for (const auto& [name, value] : write_envelope(*message.envelope)) {
    batch.headers_.push_back(std::string(name) + ": " + value);
  }
  batch.body_.assign(reinterpret_cast<const char*>(message.payload.data()), message.payload.size());
  batch.lines_.push_back({message.ticket, 0, message_id(*message.envelope)});
  return batch;
}

void HttpBatch::add(const SinkMessage& message) {
  std::string line = "{";
  for (const auto& [name, value] : write_envelope(*message.envelope)) {
    append_member(name.substr(kPrefix.size()), quoted(value), line);
  }
  if (message.content_type == kJson) {
    const auto* text = reinterpret_cast<const char*>(message.payload.data());
    append_member("payload", std::string_view(text, message.payload.size()), line);
  } else {
    append_member("payload_base64", '"' + base64(message.payload) + '"', line);
  }
  lines_.push_back({message.ticket, body_.size(), message_id(*message.envelope)});
  body_ += line;
  body_ += "}\n";
}

HttpBatch HttpBatch::part(std::size_t first, std::size_t end) const {
  HttpBatch part;
  const std::size_t begin = lines_[first].begin;
  const std::size_t behind = end == lines_.size() ? body_.size() : lines_[end].begin;
  part.body_ = body_.substr(begin, behind - begin);
  for (std::size_t i = first; i < end; ++i) {
    part.lines_.push_back({lines_[i].ticket, lines_[i].begin - begin, lines_[i].id});
  }
  return part;
}

std::string HttpBatch::key() const {
  std::string ids;
  for (const Line& line : lines_) ids += line.id + '\n';
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64,
                core::content_checksum(std::as_bytes(std::span(ids))));
  return lines_.front().id + "+" + std::to_string(lines_.size()) + "-" + text;
}

}  // namespace spillway::uplink
