// LinkTable: the machine's network interfaces as netlink tells of them, and which of them a message
// has brought up.
//
// An interface is up when it is switched on, has a carrier, and has an address that others can
// answer to. It comes up anew with each further such address and each default route through it: any
// of them may be what a connection was waiting for. A message that tells what is known already (a
// lease renewed, a flag that does not matter) brings nothing up.
//
// Pure: bytes in. One thread. The bytes are the kernel's, and are checked all the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

struct nlmsghdr;

namespace spillway::uplink {

class LinkTable {
 public:
  /// What one batch of messages said.
  struct News {
    std::set<std::string> came_up;  // names of interfaces
    bool is_done = false;           // the end of an answer to a question (NLMSG_DONE)
    int error = 0;                  // the kernel refused a question: errno
  };

  [[nodiscard]] News apply(std::span<const std::byte> messages);
  [[nodiscard]] bool is_up(std::string_view interface) const;
  /// Before everything is asked anew.
  void clear() { links_.clear(); }

 private:
  struct Link {
    std::string name;
    bool is_running = false;
    std::set<std::string> addresses;  // their bytes, as text of no meaning
    std::set<std::string> routes;     // default routes: table, metric, gateway
    [[nodiscard]] bool is_up() const { return is_running && !addresses.empty(); }
  };

  void on_link(const nlmsghdr& message, News& news);
  void on_address(const nlmsghdr& message, News& news);
  void on_route(const nlmsghdr& message, News& news);
  void route_through(int index, const std::string& route, bool is_new, News& news);

  std::map<int, Link> links_;  // by the kernel's index
};

}  // namespace spillway::uplink
