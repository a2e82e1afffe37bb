// [[uplink.link]], and the same keys in [[uplink]], where they stand for each link that has none of
// its own.
#include <algorithm>
#include <array>

#include "core/config/address.h"
#include "core/config/engine_section.h"
#include "core/config/sections.h"

namespace spillway::core {

namespace {

constexpr std::array<std::string_view, 12> kLinkKeys{"name",
                                                     "interface",
                                                     "url",
                                                     "tls",
                                                     "proxy",
                                                     "proxy_credentials_file",
                                                     "ping_interval",
                                                     "rate_limit",
                                                     "budget_per_day",
                                                     "budget_per_month",
                                                     "windows",
                                                     "window_times"};
constexpr std::size_t kLinksMax = 8;
constexpr std::size_t kWindowsMax = 32;
constexpr std::size_t kInterfaceBytesMax = 15;  // IFNAMSIZ less its end
constexpr const char* kOnlyLink = "link";       // the name of one without a table of its own
/// Below, a session would not get past its own handshake.
constexpr std::uint64_t kRateMin = 125;
constexpr std::uint64_t kBudgetMin = 64ULL << 10;

Result<void> read_rate(const TableReader& reader, LinkConfig& link) {
  if (!reader.has("rate_limit")) return {};
  std::string text;
  SPILLWAY_CHECKED(reader.read("rate_limit", text));
  const auto rate = parse_link_rate(text);
  if (!rate) return reader.complain("rate_limit", "rate_limit: " + rate.error().message);
  if (*rate < kRateMin) return reader.complain("rate_limit", "rate_limit must be at least 1kbit/s");
  link.rate_limit_bytes_per_s = *rate;
  return {};
}

Result<void> read_budget(const TableReader& reader, std::string_view key, std::uint64_t& bytes) {
  SPILLWAY_CHECKED(reader.read_storage_bytes(key, bytes));
  if (bytes == 0 || bytes >= kBudgetMin) return {};
  return reader.complain(key, std::string(key) + " must be at least \"64KiB\"");
}

Result<void> read_windows(const TableReader& reader, LinkConfig& link) {
  std::vector<std::string> texts;
  SPILLWAY_CHECKED(reader.read("windows", texts));
  if (reader.has("windows")) link.windows.clear();
  if (texts.size() > kWindowsMax) return reader.complain("windows", "at most 32 windows");
  for (const std::string& text : texts) {
    const auto window = parse_time_window(text);
    if (!window) return reader.complain("windows", "windows: " + window.error().message);
    link.windows.push_back(*window);
  }
  std::string times = link.windows_are_local ? "local" : "utc";
  SPILLWAY_CHECKED(reader.read("window_times", times));
  if (times != "utc" && times != "local") {
    return reader.complain("window_times", R"(window_times must be "utc" or "local")");
  }
  link.windows_are_local = times == "local";
  return {};
}

Result<void> read_interface(const TableReader& reader, LinkConfig& link) {
  SPILLWAY_CHECKED(reader.read("interface", link.interface));
  const bool wrong = link.interface.size() > kInterfaceBytesMax ||
                     link.interface.find_first_of("/ \t\n") != std::string::npos;
  if (!wrong) return {};
  return reader.complain("interface", "interface is a network interface's name, such as \"wwan0\"");
}

/// What both tables may say; what they do not say stays.
Result<void> read_link_keys(const TableReader& reader, LinkConfig& link) {
  if (reader.has("proxy")) link.proxy = {};  // another one has credentials of its own
  SPILLWAY_CHECKED(read_proxy(reader, link.proxy));
  SPILLWAY_CHECKED(read_ping_interval(reader, link.ping_interval_ns));
  SPILLWAY_CHECKED(read_interface(reader, link));
  SPILLWAY_CHECKED(read_rate(reader, link));
  SPILLWAY_CHECKED(read_budget(reader, "budget_per_day", link.budget_per_day_bytes));
  SPILLWAY_CHECKED(read_budget(reader, "budget_per_month", link.budget_per_month_bytes));
  return read_windows(reader, link);
}

Result<void> check_url(const TableReader& reader, const std::string& url) {
  if (url.empty()) {
    return reader.complain("url", "url is missing, such as \"wss://consumer.example:7443\"");
  }
  const std::string complaint = complaint_about_url(url);
  return complaint.empty() ? Result<void>{} : reader.complain("url", "url: " + complaint);
}

Result<void> read_link(const toml::table& table, const std::string& path, const LinkConfig& base,
                       UplinkConfig& uplink) {
  LinkConfig link = base;
  const TableReader reader(table, "[[uplink.link]]", path);
  SPILLWAY_CHECKED(reader.check_keys({kLinkKeys, {}}));
  SPILLWAY_CHECKED(reader.read("name", link.name));
  if (!is_valid_name(link.name)) {
    return reader.complain("name", "name must be 1 to 63 of a-z, 0-9, '_' and '-'");
  }
  for (const LinkConfig& other : uplink.links) {
    if (other.name != link.name) continue;
    return reader.complain("name", "there is another link named \"" + link.name + "\"");
  }
  SPILLWAY_CHECKED(reader.read("url", link.url));
  SPILLWAY_CHECKED(check_url(reader, link.url));
  SPILLWAY_CHECKED(read_link_keys(reader, link));
  const bool secure = is_secure(link.url);
  SPILLWAY_CHECKED(read_tls(reader, "[uplink.link.tls]", secure, path, link.tls));
  if (!secure) link.tls = {};
  uplink.links.push_back(std::move(link));
  return {};
}

}  // namespace

Result<void> read_links(const TableReader& reader, const std::string& path, UplinkConfig& uplink) {
  SPILLWAY_TRY(tables, reader.tables("link"));
  if (tables.size() > kLinksMax) return reader.complain("link", "at most 8 links");
  const bool is_engine = is_engine_url(uplink.url);
  if (!is_engine && (tables.empty() || !uplink.url.empty())) {
    SPILLWAY_CHECKED(check_url(reader, uplink.url));
  }
  if (is_engine) {
    SPILLWAY_CHECKED(read_engine(reader, path, uplink));
  } else {
    const bool secure = uplink.url.empty() || is_secure(uplink.url);
    SPILLWAY_CHECKED(refuse_engine_keys(reader));
    SPILLWAY_CHECKED(read_tls(reader, "[uplink.tls]", secure, path, uplink.tls));
  }
  LinkConfig base;
  base.url = uplink.url;
  base.tls = uplink.tls;
  SPILLWAY_CHECKED(read_link_keys(reader, base));
  for (const toml::table* table : tables) {
    SPILLWAY_CHECKED(read_link(*table, path, base, uplink));
  }
  if (!tables.empty()) return {};
  base.name = kOnlyLink;
  uplink.links.push_back(std::move(base));
  return {};
}

}  // namespace spillway::core
