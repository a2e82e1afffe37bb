#include <algorithm>
#include <array>
#include <charconv>

#include "core/config/address.h"
#include "spillway/core/engine_config.h"

namespace spillway::core {

namespace {

struct Scheme {
  std::string_view name;
  std::uint16_t port;
  bool secure;
  bool cluster;  // several hosts may be named
  const char* example;
};

constexpr std::array<Scheme, 8> kSchemes{{
    {"kafka", 9092, false, true, "kafka://kafka.example:9092"},
    {"amqp", 5672, false, false, "amqp://gateway@rabbit.example/vhost"},
    {"amqps", 5671, true, false, "amqps://gateway@rabbit.example/vhost"},
    {"mqtt", 1883, false, false, "mqtt://mqtt.example"},
    {"mqtts", 8883, true, false, "mqtts://mqtt.example"},
    {"nats", 4222, false, true, "nats://nats.example"},
    {"http", 80, false, false, "http://collector.example/records"},
    {"https", 443, true, false, "https://collector.example/records"},
}};

constexpr std::size_t kHostsMax = 16;

const Scheme* scheme_of(std::string_view url) {
  const std::size_t end = url.find("://");
  if (end == std::string_view::npos) return nullptr;
  const auto found = std::find_if(kSchemes.begin(), kSchemes.end(), [&](const Scheme& scheme) {
    return scheme.name == url.substr(0, end);
  });
  return found == kSchemes.end() ? nullptr : &*found;
}

tl::unexpected<Error> complain(std::string_view url, const Scheme& scheme) {
  return fail(ErrorCode::kInvalidArgument,
              "\"" + std::string(url) + "\" is not an address such as \"" + scheme.example + "\"");
}

/// %2F and the like: a virtual host's name may hold a slash.
bool unescape(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    unsigned char value = 0;
    if (at + 3 > text.size()) return false;
    const char* const end = text.data() + at + 3;
    const auto [stop, error] = std::from_chars(text.data() + at + 1, end, value, 16);
    if (error != std::errc{} || stop != end || value < ' ') return false;
    out += static_cast<char>(value);
    at += 2;
  }
  return true;
}

bool read_hosts(std::string_view text, const Scheme& scheme, EngineUrl& url) {
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const auto host = split_host(text.substr(0, comma));
    if (!host) return false;
    std::string_view name = host->host;
    if (name.starts_with('[')) name = name.substr(1, name.size() - 2);
    url.hosts.push_back({std::string(name), host->port.value_or(scheme.port)});
    if (comma == text.size()) break;
    text.remove_prefix(comma + 1);
  }
  return url.hosts.size() == 1 || (scheme.cluster && url.hosts.size() <= kHostsMax);
}

}  // namespace

bool EngineUrl::secure() const {
  return std::any_of(kSchemes.begin(), kSchemes.end(),
                     [&](const Scheme& known) { return known.name == scheme && known.secure; });
}

std::string EngineUrl::hosts_text() const {
  std::string text;
  for (const EngineHost& host : hosts) {
    if (!text.empty()) text += ',';
    const bool is_ipv6 = host.host.find(':') != std::string::npos;
    text += (is_ipv6 ? "[" + host.host + "]" : host.host) + ":" + std::to_string(host.port);
  }
  return text;
}

bool is_engine_url(std::string_view url) { return scheme_of(url) != nullptr; }

Result<EngineUrl> parse_engine_url(std::string_view text) {
  const Scheme* scheme = scheme_of(text);
  if (scheme == nullptr) {
    return fail(ErrorCode::kInvalidArgument,
                "\"" + std::string(text) + "\" does not begin with an engine's scheme");
  }
  EngineUrl url;
  url.scheme = scheme->name;
  std::string_view rest = text.substr(scheme->name.size() + 3);
  if (rest.find_first_of(" \t\r\n#?") != std::string_view::npos) return complain(text, *scheme);
  const std::size_t slash = rest.find('/');
  url.has_path = slash != std::string_view::npos;
  if (url.has_path && !unescape(rest.substr(slash + 1), url.path)) return complain(text, *scheme);
  rest = rest.substr(0, slash);
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    if (rest.substr(0, at).find(':') != std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument,
                  "a password does not belong into the address: name its file as password_file");
    }
    if (!unescape(rest.substr(0, at), url.user) || url.user.empty()) return complain(text, *scheme);
    rest = rest.substr(at + 1);
  }
  if (!read_hosts(rest, *scheme, url)) return complain(text, *scheme);
  return url;
}

}  // namespace spillway::core
