// ServiceHeart: what an io_context's daemon tells its service manager: "ready", "alive" while the
// io_context turns and everything else does, and "stopping".
//
// Threads: the io_context's. Without a service manager every call does nothing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>

#include "spillway/core/env/env.h"
#include "spillway/core/service_notifier.h"

namespace spillway::uplink {

class ServiceHeart {
 public:
  /// `turning`: whether the threads beside the io_context's are alive, too; asked before each beat.
  ServiceHeart(boost::asio::io_context& io, core::env::Env& env, std::function<bool()> turning);

  /// From now on it beats, until stopping().
  void ready();
  void stopping();

 private:
  void beat();

  core::env::Env& env_;
  std::function<bool()> turning_;
  boost::asio::steady_timer timer_;
  core::ServiceNotifier notifier_;
};

}  // namespace spillway::uplink
