#include "uplink/link_shell.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <sstream>

namespace spillway::uplink::test {

namespace {

constexpr std::chrono::seconds kWatchdog{60};

std::string text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Bytes bytes_of(const std::string& text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

struct LogCapture::Impl {
  std::ostringstream stream;
  spdlog::sink_ptr sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(stream, true);
};

LogCapture::LogCapture() : impl_(std::make_unique<Impl>()) {
  spdlog::default_logger()->sinks().push_back(impl_->sink);
}
LogCapture::~LogCapture() { spdlog::default_logger()->sinks().pop_back(); }
std::string LogCapture::text() const { return impl_->stream.str(); }

LinkShell::~LinkShell() {
  if (client) client->abort();
  if (server) server->abort();
  client.reset();
  server.reset();
  listener_.reset();
  static_cast<void>(run_until([&] { return io.stopped(); }));
}

void LinkShell::listen(const std::optional<core::TlsConfig>& tls) {
  std::shared_ptr<TlsFiles> files;
  if (tls) {
    auto opened = TlsFiles::open(TlsRole::kServer, *tls);
    ASSERT_TRUE(opened) << opened.error().message;
    files = *opened;
  }
  Endpoint endpoint;
  endpoint.tls = tls.has_value();
  endpoint.host = "127.0.0.1";
  auto listener =
      consumer::listen_websocket(io, endpoint, files, [this](std::shared_ptr<WebSocket> socket) {
        server = socket;
        return WebSocketHandlers{[] {},
                                 [this, raw = socket.get()](Bytes bytes) {
                                   at_server.push_back(text_of(bytes));
                                   raw->send(std::move(bytes));
                                 },
                                 [] {},
                                 [this](core::Error error) { server_ends.push_back(error); }};
      });
  ASSERT_TRUE(listener) << listener.error().message;
  listener_ = std::move(*listener);
}

LinkTarget LinkShell::target(const std::optional<core::TlsConfig>& tls) const {
  LinkTarget target;
  target.endpoint.tls = tls.has_value();
  target.endpoint.host = "localhost";
  target.endpoint.port = listener_ ? listener_->port() : 0;
  if (!tls) return target;
  auto opened = TlsFiles::open(TlsRole::kClient, *tls);
  EXPECT_TRUE(opened) << opened.error().message;
  target.tls = *opened;
  return target;
}

void LinkShell::connect(LinkTarget target) {
  is_open = false;
  client_end.reset();
  ++connection_;
  client =
      connect_websocket(io, std::move(target),
                        {[this] { is_open = true; },
                         [this](const Bytes& bytes) { at_client.push_back(text_of(bytes)); }, [] {},
                         [this, connection = connection_](core::Error error) {
                           if (connection == connection_) client_end = std::move(error);
                         }});
}

std::string LinkShell::failure(LinkTarget target) {
  connect(std::move(target));
  if (!run_until([&] { return client_end.has_value(); })) return "(it did not end)";
  return client_end->message;
}

bool LinkShell::run_until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kWatchdog;
  io.restart();
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (io.run_one_until(end) == 0 && io.stopped()) return done();
  }
  return true;
}

bool LinkShell::echo(const std::string& text) {
  const std::size_t before = at_client.size();
  if (client) client->send(bytes_of(text));
  return run_until([&] { return at_client.size() > before || client_end; }) && !client_end &&
         at_client.back() == text;
}

}  // namespace spillway::uplink::test
