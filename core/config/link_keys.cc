// The keys of a link that say how it is held: its proxy, and how long it may be silent.
#include "core/config/address.h"
#include "core/config/sections.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kPingIntervalNsMax = 600 * kSecondNs;

}  // namespace

Result<void> read_proxy(const TableReader& reader, ProxyConfig& proxy) {
  SPILLWAY_CHECKED(reader.read("proxy", proxy.url));
  SPILLWAY_CHECKED(reader.read("proxy_credentials_file", proxy.credentials_file));
  if (proxy.url.empty()) {
    if (proxy.credentials_file.empty()) return {};
    return reader.complain("proxy_credentials_file",
                           "proxy_credentials_file is of no use without proxy");
  }
  const std::string complaint = complaint_about_proxy(proxy.url);
  return complaint.empty() ? Result<void>{} : reader.complain("proxy", "proxy: " + complaint);
}

Result<void> read_ping_interval(const TableReader& reader, std::uint64_t& ns) {
  SPILLWAY_CHECKED(reader.read_duration("ping_interval", ns));
  if (ns >= kSecondNs && ns <= kPingIntervalNsMax) return {};
  return reader.complain("ping_interval", "ping_interval must be from \"1s\" to \"10m\"");
}

}  // namespace spillway::core
