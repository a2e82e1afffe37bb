#include "core/config/address.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "spillway/core/engine_config.h"

namespace spillway::core {

namespace {

std::string complaint_about_scheme(std::string_view url, std::string_view scheme) {
  if (scheme == "ws" || scheme == "wss") return "";
  if (is_engine_url(url)) {
    return "\"" + std::string(scheme) +
           "\" is an engine's: only the url of [[uplink]] itself may be one; here use ws:// or "
           "wss://";
  }
  return "\"" + std::string(url) + "\" does not begin with ws:// or wss://";
}

bool is_port(std::string_view text, std::uint16_t port_min) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, port);
  return error == std::errc{} && at == end && port >= port_min;
}

bool is_host(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

/// A literal IPv6 address in brackets; whether it is a good one is the resolver's to say.
bool is_bracketed(std::string_view host) {
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         host.find_first_not_of("0123456789abcdefABCDEF:.%", 1) == host.size() - 1;
}

struct Authority {
  std::string_view host;
  std::string_view port;
  bool has_port = false;
};

Authority split(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  const bool inside_brackets = authority.ends_with(']');
  if (colon == std::string_view::npos || inside_brackets) return {authority, {}, false};
  return {authority.substr(0, colon), authority.substr(colon + 1), true};
}

std::string complaint_about(std::string_view url, std::uint16_t port_min, bool port_needed,
                            bool path_allowed, const char* example) {
  const std::size_t scheme_end = url.find("://");
  const std::string_view scheme =
      scheme_end == std::string_view::npos ? std::string_view{} : url.substr(0, scheme_end);
  if (std::string complaint = complaint_about_scheme(url, scheme); !complaint.empty()) {
    return complaint;
  }
  const std::string_view rest = url.substr(scheme_end + 3);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const Authority authority = split(rest.substr(0, slash));
  const std::string_view path = rest.substr(slash);
  const bool path_ok = path.empty() || path == "/" ||
                       (path_allowed && path.find_first_of(" \t\r\n#") == std::string_view::npos);
  const bool port_ok = authority.has_port ? is_port(authority.port, port_min) : !port_needed;
  if ((is_host(authority.host) || is_bracketed(authority.host)) && port_ok && path_ok) return "";
  return "\"" + std::string(url) + "\" is not an address such as \"" + example + "\"";
}

}  // namespace

std::optional<HostAndPort> split_host(std::string_view text) {
  const Authority authority = split(text);
  if (!is_host(authority.host) && !is_bracketed(authority.host)) return std::nullopt;
  if (!authority.has_port) return HostAndPort{authority.host, std::nullopt};
  if (!is_port(authority.port, 1)) return std::nullopt;
  std::uint16_t port = 0;
  std::from_chars(authority.port.data(), authority.port.data() + authority.port.size(), port);
  return HostAndPort{authority.host, port};
}

std::string complaint_about_url(std::string_view url) {
  return complaint_about(url, 1, false, true, "wss://consumer.example:7443/path");
}

std::string complaint_about_proxy(std::string_view address) {
  constexpr std::string_view kScheme = "http://";
  const std::string wrong =
      "\"" + std::string(address) + "\" is not an address such as \"http://proxy.example:3128\"";
  if (!address.starts_with(kScheme)) {
    return wrong + "; only HTTP proxies are supported, and they are spoken to without TLS";
  }
  if (address.find('@') != std::string_view::npos) {
    return "user and password do not belong into the address: name their file as "
           "proxy_credentials_file";
  }
  std::string_view rest = address.substr(kScheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const Authority authority = split(rest);
  const bool port_ok = !authority.has_port || is_port(authority.port, 1);
  return (is_host(authority.host) || is_bracketed(authority.host)) && port_ok ? "" : wrong;
}

std::string complaint_about_listen(std::string_view address) {
  return complaint_about(address, 0, true, false, "ws://127.0.0.1:7443");
}

}  // namespace spillway::core
