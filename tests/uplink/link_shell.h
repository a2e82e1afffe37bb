// Both ends of a native link in one process and one thread, over loopback: the real listener and the
// real client, without sessions.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "uplink/consumer/sources/websocket_listener.h"
#include "uplink/link/websocket.h"

namespace spillway::uplink::test {

/// What is logged while it lives.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool has(const std::string& part) const {
    return text().find(part) != std::string::npos;
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class LinkShell {
 public:
  ~LinkShell();

  /// `tls` empty: a port without.
  void listen(const std::optional<core::TlsConfig>& tls = {});
  [[nodiscard]] std::uint16_t port() const { return listener_->port(); }
  /// To what listens here, by the name "localhost".
  [[nodiscard]] LinkTarget target(const std::optional<core::TlsConfig>& tls = {}) const;
  void connect(LinkTarget target);
  /// Waits for the client's end, and returns what it was told.
  [[nodiscard]] std::string failure(LinkTarget target);
  /// Runs until so; false after the watchdog.
  [[nodiscard]] bool run_until(const std::function<bool()>& done);
  [[nodiscard]] bool echo(const std::string& text);

  boost::asio::io_context io;
  std::shared_ptr<WebSocket> client;
  std::shared_ptr<WebSocket> server;  // the newest that was accepted
  bool is_open = false;               // the client's end
  std::vector<std::string> at_server;
  std::vector<std::string> at_client;
  std::optional<core::Error> client_end;
  std::vector<core::Error> server_ends;

 private:
  int connection_ = 0;  // an older one's end is not the newest's
  std::unique_ptr<consumer::WebSocketListener> listener_;
};

[[nodiscard]] Bytes bytes_of(const std::string& text);

}  // namespace spillway::uplink::test
