// Fleet: many gateways in one process: the real uplink sessions over real sockets, each with a spill in
// memory. For the tests and the benchmark of a consumer that has many of them.
//
// Threads: the io_context's, which run_until() runs.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "uplink/link/backoff.h"
#include "uplink/link/websocket.h"
#include "uplink/session/uplink_session.h"
#include "uplink/spill_maker.h"

namespace spillway::uplink::test {

class Fleet {
 public:
  using Clock = std::chrono::steady_clock;

  /// Gateway `i` has the id uuid_number(first_id + i).
  Fleet(std::uint16_t port, std::size_t gateways, std::uint64_t first_id = 1);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  /// Gateways [0, count) connect, and come back whenever they are cut off.
  void connect(std::size_t count);
  /// One data block of so many records in gateway `i`'s spill; sent when there is room. How long until
  /// it is acknowledged is among latencies() then.
  void append(std::size_t i, std::uint32_t records);
  /// Runs until `done` says so; false after the watchdog.
  bool run_until(const std::function<bool()>& done,
                 std::chrono::seconds watchdog = std::chrono::seconds(120));
  /// Runs for so long, calling `each` about every millisecond.
  void run_for(std::chrono::milliseconds time, const std::function<void()>& each);

  [[nodiscard]] std::size_t streaming() const;
  /// All that was appended is acknowledged.
  [[nodiscard]] bool delivered() const;
  [[nodiscard]] std::uint64_t acknowledged(std::size_t i) const;
  [[nodiscard]] std::uint64_t next_offset(std::size_t i) const;
  /// Of gateway `i`, milliseconds, and forgets them.
  [[nodiscard]] std::vector<double> take_latencies_ms(std::size_t i);
  [[nodiscard]] std::uint64_t connections() const { return connections_; }
  /// Sessions that the far end ended with a time to come back.
  [[nodiscard]] std::uint64_t asked_to_wait() const { return asked_to_wait_; }
  [[nodiscard]] const std::string& last_error(std::size_t i) const;
  [[nodiscard]] std::uint64_t fenced() const { return fenced_; }

 private:
  struct Member;

  void open(Member& member);
  void pump(Member& member);
  void on_message(Member& member, const Bytes& bytes);
  void on_closed(Member& member, const core::Error& error);
  void note_acknowledged(Member& member);

  boost::asio::io_context io_;
  std::uint16_t port_;
  std::vector<std::unique_ptr<Member>> members_;
  std::uint64_t connections_ = 0;
  std::uint64_t asked_to_wait_ = 0;
  std::uint64_t fenced_ = 0;
  std::uint64_t random_ = 88172645463325252ULL;
};

}  // namespace spillway::uplink::test
