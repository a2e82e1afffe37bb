#include "uplink/sinks/nats/nats_subject.h"

#include <array>
#include <cstdio>

namespace spillway::uplink {

namespace {

constexpr unsigned char kBlank = 0x20;
constexpr unsigned char kDelete = 0x7F;

void write_token(std::string_view token, std::string& subject) {
  if (token.empty()) subject += '-';
  for (const char byte : token) {
    const auto value = static_cast<unsigned char>(byte);
    const bool plain = std::string_view(".*>%").find(byte) == std::string_view::npos;
    if (plain && value > kBlank && value != kDelete) {
      subject += byte;
      continue;
    }
    std::array<char, 4> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "%%%02X", value);
    subject += escaped.data();
  }
}

}  // namespace

void write_subject_tokens(std::string_view value, std::string& subject) {
  for (std::size_t slash = value.find('/'); slash != std::string_view::npos;
       slash = value.find('/')) {
    write_token(value.substr(0, slash), subject);
    subject += '.';
    value.remove_prefix(slash + 1);
  }
  write_token(value, subject);
}

}  // namespace spillway::uplink
