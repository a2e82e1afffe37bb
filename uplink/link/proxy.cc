#include "uplink/link/proxy.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

#include "spillway/core/config.h"

namespace spillway::uplink {

using core::Error;
using core::ErrorCode;
using core::fail;
using core::Result;

namespace {

constexpr std::uint16_t kDefaultProxyPort = 3128;
constexpr std::size_t kCredentialBytesMax = 512;
constexpr unsigned kProxyWantsCredentials = 407;

tl::unexpected<Error> bad(std::string_view url, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, "\"" + std::string(url) +
                                               "\" is no address of a proxy: " + std::string(why) +
                                               " (write http://host:port)");
}

std::string base64(std::string_view text) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[at])) : 0U;
    };
    const unsigned three = byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2);
    out += kDigits[three >> 18U & 63U];
    out += kDigits[three >> 12U & 63U];
    out += i + 1 < text.size() ? kDigits[three >> 6U & 63U] : '=';
    out += i + 2 < text.size() ? kDigits[three & 63U] : '=';
  }
  return out;
}

std::string status_text(const HttpAnswer& answer) {
  return "HTTP " + std::to_string(answer.status) +
         (answer.reason.empty() ? "" : " " + answer.reason);
}

bool is_redirection(const HttpAnswer& answer) {
  return answer.status >= 300 && answer.status < 400 && !answer.location.empty();
}

/// "http://portal.example" of "http://portal.example/login?session=...": the rest is long, and not
/// for logs.
std::string host_of(const std::string& location) {
  const std::size_t scheme = location.find("://");
  if (scheme == std::string::npos) return "another page of the same host";
  return location.substr(0, location.find_first_of("/?#", scheme + 3));
}

Error unavailable(std::string message) { return {ErrorCode::kUnavailable, std::move(message)}; }

}  // namespace

Result<Proxy> parse_proxy(std::string_view url, std::string credentials_file) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return bad(url, "it does not begin with http://");
  std::string_view rest = url.substr(kScheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) {
    return bad(url, "user and password belong into the file that proxy_credentials_file names");
  }
  Proxy proxy{"", kDefaultProxyPort, std::move(credentials_file)};
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad(url, "the bracket is not closed");
    proxy.host = std::string(rest.substr(1, end - 1));
    port = rest.substr(end + 1);
  } else {
    const std::size_t colon = rest.find(':');
    proxy.host = std::string(rest.substr(0, colon));
    if (colon != std::string_view::npos) port = rest.substr(colon);
  }
  if (proxy.host.empty()) return bad(url, "it names no host");
  if (proxy.host.find_first_of("/ \t\r\n") != std::string::npos) return bad(url, "it has a path");
  if (port.empty()) return proxy;
  const char* const end = port.data() + port.size();
  const auto parsed = std::from_chars(port.data() + 1, end, proxy.port);
  if (port.front() != ':' || parsed.ec != std::errc{} || parsed.ptr != end || proxy.port == 0) {
    return bad(url, "its port is no number from 1 to 65535");
  }
  return proxy;
}

Result<std::optional<Proxy>> proxy_of(const core::ProxyConfig& config) {
  if (config.url.empty()) return std::optional<Proxy>{};
  SPILLWAY_TRY(proxy, parse_proxy(config.url, config.credentials_file));
  return std::optional<Proxy>(proxy);
}

Result<std::string> read_credentials(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return core::fail_errno(errno, "cannot read the proxy's credentials from " + path);
  }
  if ((status.st_mode & S_IROTH) != 0) {
    return fail(ErrorCode::kPermission,
                path + " holds a password and everybody may read it: chmod o-r " + path);
  }
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) {
    return fail(ErrorCode::kPermission, "cannot read the proxy's credentials from " + path +
                                            ": it is empty or this daemon may not read it");
  }
  if (line.ends_with('\r')) line.pop_back();
  if (line.find(':') == std::string::npos || line.size() > kCredentialBytesMax) {
    return fail(ErrorCode::kInvalidArgument, path +
                                                 " must hold one line, user:password, of at most " +
                                                 std::to_string(kCredentialBytesMax) + " bytes");
  }
  return line;
}

std::string authority_of(std::string_view host, std::uint16_t port) {
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  const std::string name(host);
  return (is_ipv6 ? "[" + name + "]" : name) + ":" + std::to_string(port);
}

std::string connect_request(const Endpoint& endpoint, std::string_view credentials) {
  const std::string authority = authority_of(endpoint.host, endpoint.port);
  std::string request = "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n";
  if (!credentials.empty()) {
    request += "Proxy-Authorization: Basic " + base64(credentials) + "\r\n";
  }
  return request + "\r\n";
}

Error explain_proxy(const HttpAnswer& answer, const std::string& proxy, const std::string& peer,
                    bool gave_credentials) {
  const std::string begin = "the proxy " + proxy + " answers " + status_text(answer);
  if (answer.status == kProxyWantsCredentials) {
    const bool basic =
        answer.authenticate.empty() || answer.authenticate.find("asic") != std::string::npos;
    if (!basic) {
      return unavailable(begin + ": it wants another authentication than Basic (" +
                         answer.authenticate + "), which is the only one this uplink knows");
    }
    return unavailable(
        begin +
        (gave_credentials
             ? ": it does not take the user and password of proxy_credentials_file"
             : ": it wants a user and password; name their file as proxy_credentials_file"));
  }
  if (is_redirection(answer)) {
    return unavailable(begin + ": it sends us to " + host_of(answer.location) +
                       ", as a network does that wants a login first; or this is no proxy");
  }
  if (answer.status == 403 || answer.status == 405) {
    return unavailable(begin + ": it does not let us connect to " + peer +
                       "; ask its owner to allow CONNECT to this host and port");
  }
  if (answer.status >= 502 && answer.status <= 504) {
    return unavailable(begin + ": it cannot reach " + peer + " itself");
  }
  return unavailable(begin + " to CONNECT " + peer + "; is this a proxy?");
}

Error explain_upgrade(const HttpAnswer& answer, const std::string& peer, bool is_tls) {
  const std::string begin = peer + " answers " + status_text(answer);
  if (is_redirection(answer)) {
    return unavailable(begin + ": it sends us to " + host_of(answer.location) +
                       ", as a network does that wants a login first; or the url is another one");
  }
  if (answer.status / 100 == 2) {
    const bool html = answer.content_type.find("html") != std::string::npos;
    return unavailable(begin + (html ? " with a web page" : "") +
                       " where a consumer would upgrade to WebSocket: a network that wants a login "
                       "first (captive portal), or a web server under this url");
  }
  if (answer.status == 400 && !is_tls) {
    return unavailable(begin + ": no WebSocket there; if its port speaks TLS, write wss://");
  }
  if (answer.status == 426) {
    return unavailable(begin + ": it is a consumer of another version, or no consumer");
  }
  if (answer.status >= 500) {
    return unavailable(begin + ": what stands before the consumer cannot reach it now");
  }
  return unavailable(begin +
                     " where a consumer would upgrade to WebSocket; look at host, port and "
                     "path of the url");
}

}  // namespace spillway::uplink
