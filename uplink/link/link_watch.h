// LinkWatch: tells at once when a network interface, one of its addresses or a default route through
// it comes up, so that nobody has to wait for a backoff timer. The kernel says so by netlink; no
// privilege is needed.
//
// Threads: the io_context's; the callback is never called from inside another call of this class.
//
// Invariants:
//  1. What is told is told once: messages of one moment are taken together, and those without news
//     are dropped (link_table.h). There is no timer.
//  2. Where messages were lost (ENOBUFS), everything is asked anew and an empty name is told: any
//     interface may have come up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "spillway/core/result.h"

namespace boost::asio {
class io_context;
}

namespace spillway::uplink {

class LinkWatch {
 public:
  /// The interface's name; empty: something has changed, and nobody knows what.
  using OnUp = std::function<void(const std::string& interface)>;

  /// Knows all interfaces as soon as it returns; those that are up already are not told.
  /// kUnavailable where the kernel has no netlink: then only timers are left.
  [[nodiscard]] static core::Result<std::unique_ptr<LinkWatch>> start(boost::asio::io_context& io,
                                                                      OnUp on_up);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  /// Switched on, with a carrier and an address that others can answer to. False for what is not
  /// there.
  [[nodiscard]] bool is_up(std::string_view interface) const;

 private:
  class Impl;
  explicit LinkWatch(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace spillway::uplink
