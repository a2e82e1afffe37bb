#include "uplink/link/link_table.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace spillway::uplink {

namespace {

using Bytes = std::span<const std::byte>;

/// A fixed part and attributes, as most messages of the kernel are.
template <typename Head>
struct Parts {
  Head head{};
  Bytes attributes;
};

template <typename T>
std::optional<T> read(Bytes bytes) {
  if (bytes.size() < sizeof(T)) return {};
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

template <typename Head>
std::optional<Parts<Head>> split(const nlmsghdr& message) {
  const Bytes body(reinterpret_cast<const std::byte*>(&message) + NLMSG_HDRLEN,
                   message.nlmsg_len - NLMSG_HDRLEN);
  const auto head = read<Head>(body);
  if (!head) return {};
  return Parts<Head>{*head,
                     body.subspan(std::min<std::size_t>(NLMSG_ALIGN(sizeof(Head)), body.size()))};
}

Bytes find(Bytes attributes, unsigned type) {
  while (const auto attribute = read<rtattr>(attributes)) {
    if (attribute->rta_len < RTA_LENGTH(0) || attribute->rta_len > attributes.size()) return {};
    if ((attribute->rta_type & NLA_TYPE_MASK) == type) {
      return attributes.subspan(RTA_LENGTH(0), attribute->rta_len - RTA_LENGTH(0));
    }
    attributes =
        attributes.subspan(std::min<std::size_t>(RTA_ALIGN(attribute->rta_len), attributes.size()));
  }
  return {};
}

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string name_in(Bytes attributes) {
  const std::string text = text_of(find(attributes, IFLA_IFNAME));
  return text.substr(0, text.find('\0'));
}

/// One that the far end can answer to: not of this link only, and not on trial.
bool is_usable(const Parts<ifaddrmsg>& parts) {
  const std::uint32_t flags =
      read<std::uint32_t>(find(parts.attributes, IFA_FLAGS)).value_or(parts.head.ifa_flags);
  return parts.head.ifa_scope != RT_SCOPE_LINK &&
         (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED)) == 0;
}

}  // namespace

LinkTable::News LinkTable::apply(Bytes messages) {
  News news;
  while (messages.size() >= sizeof(nlmsghdr)) {
    const auto& message = *reinterpret_cast<const nlmsghdr*>(messages.data());
    if (message.nlmsg_len < NLMSG_HDRLEN || message.nlmsg_len > messages.size()) break;
    switch (message.nlmsg_type) {
      case RTM_NEWLINK:
      case RTM_DELLINK:
        on_link(message, news);
        break;
      case RTM_NEWADDR:
      case RTM_DELADDR:
        on_address(message, news);
        break;
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        on_route(message, news);
        break;
      case NLMSG_ERROR:
        if (const auto parts = split<nlmsgerr>(message)) news.error = -parts->head.error;
        break;
      case NLMSG_DONE:
        news.is_done = true;
        break;
      default:
        break;
    }
    messages =
        messages.subspan(std::min<std::size_t>(NLMSG_ALIGN(message.nlmsg_len), messages.size()));
  }
  return news;
}

void LinkTable::on_link(const nlmsghdr& message, News& news) {
  const auto parts = split<ifinfomsg>(message);
  // A bridge tells of its ports in the same message type, under its own family.
  if (!parts || parts->head.ifi_family != AF_UNSPEC) return;
  if (message.nlmsg_type == RTM_DELLINK) {
    links_.erase(parts->head.ifi_index);
    return;
  }
  Link& link = links_[parts->head.ifi_index];
  const bool was_up = link.is_up();
  if (std::string name = name_in(parts->attributes); !name.empty()) link.name = std::move(name);
  link.is_running =
      (parts->head.ifi_flags & IFF_UP) != 0 && (parts->head.ifi_flags & IFF_RUNNING) != 0;
  // The kernel takes the routes away with the link, those of IPv4 without a word.
  if (!link.is_running) link.routes.clear();
  if (!was_up && link.is_up()) news.came_up.insert(link.name);
}

void LinkTable::on_address(const nlmsghdr& message, News& news) {
  const auto parts = split<ifaddrmsg>(message);
  if (!parts) return;
  const auto found = links_.find(static_cast<int>(parts->head.ifa_index));
  if (found == links_.end()) return;
  Link& link = found->second;
  Bytes address = find(parts->attributes, IFA_LOCAL);
  if (address.empty()) address = find(parts->attributes, IFA_ADDRESS);
  if (message.nlmsg_type == RTM_DELADDR || !is_usable(*parts)) {
    link.addresses.erase(text_of(address));
    if (link.addresses.empty()) link.routes.clear();
    return;
  }
  const bool is_new = link.addresses.insert(text_of(address)).second;
  if (is_new && link.is_up()) news.came_up.insert(link.name);
}

void LinkTable::on_route(const nlmsghdr& message, News& news) {
  const auto parts = split<rtmsg>(message);
  if (!parts || parts->head.rtm_dst_len != 0 || parts->head.rtm_type != RTN_UNICAST) return;
  const bool is_new = message.nlmsg_type == RTM_NEWROUTE;
  const Bytes attributes = parts->attributes;
  const std::string route =
      std::to_string(parts->head.rtm_family) + text_of(find(attributes, RTA_TABLE)) + "/" +
      text_of(find(attributes, RTA_PRIORITY)) + "/" + text_of(find(attributes, RTA_GATEWAY));
  if (const auto index = read<int>(find(attributes, RTA_OIF))) {
    route_through(*index, route, is_new, news);
  }
  Bytes hops = find(attributes, RTA_MULTIPATH);
  while (const auto hop = read<rtnexthop>(hops)) {
    if (hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > hops.size()) return;
    route_through(hop->rtnh_ifindex, route, is_new, news);
    hops = hops.subspan(std::min<std::size_t>(RTNH_ALIGN(hop->rtnh_len), hops.size()));
  }
}

void LinkTable::route_through(int index, const std::string& route, bool is_new, News& news) {
  const auto found = links_.find(index);
  if (found == links_.end()) return;
  Link& link = found->second;
  if (!is_new) {
    link.routes.erase(route);
  } else if (link.routes.insert(route).second && link.is_up()) {
    news.came_up.insert(link.name);
  }
}

bool LinkTable::is_up(std::string_view interface) const {
  return std::any_of(links_.begin(), links_.end(), [&](const auto& entry) {
    return entry.second.name == interface && entry.second.is_up();
  });
}

}  // namespace spillway::uplink
