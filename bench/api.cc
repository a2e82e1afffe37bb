// For `./run bench api`: a bare Beast server that sends each body back, and a client that posts the same
// bytes to it or to the API, over so many connections at a time.
//
// The echo is what HTTP alone costs with Beast: no routing, no JSON, no lane.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kBodyBytesMax = 64U << 20;

class EchoSession : public std::enable_shared_from_this<EchoSession> {
 public:
  explicit EchoSession(Tcp::socket socket) : stream_(std::move(socket)) {}
  void read() {
    parser_.emplace();
    parser_->body_limit(kBodyBytesMax);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) {
                       if (!error) self->answer();
                     });
  }

 private:
  void answer() {
    response_ = {http::status::ok, 11};
    response_.set(http::field::content_type, "application/json");
    response_.keep_alive(true);
    response_.body() = std::move(parser_->get().body());
    response_.prepare_payload();
    http::async_write(stream_, response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

void accept(Tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](beast::error_code error, Tcp::socket socket) {
    if (error) return;
    socket.set_option(Tcp::no_delay(true));
    std::make_shared<EchoSession>(std::move(socket))->read();
    accept(acceptor);
  });
}

void serve_echo(std::uint16_t port) {
  asio::io_context io(1);
  Tcp::acceptor acceptor(io, Tcp::endpoint(asio::ip::address_v4::loopback(), port));
  accept(acceptor);
  std::cout << "ready" << std::endl;
  io.run();
}

struct Load {
  std::uint16_t port = 0;
  double seconds = 3;
  int connections = 32;
  std::string target = "/";
  std::string token;
  std::string body;
};

struct Totals {
  std::uint64_t answers = 0;
  std::uint64_t refused = 0;  // 429
  std::uint64_t failed = 0;
  std::string last_failure;
};

class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(asio::io_context& io, const Load& load, const std::string& request, Totals& totals)
      : socket_(io), request_(request), totals_(totals) {
    socket_.connect(Tcp::endpoint(asio::ip::address_v4::loopback(), load.port));
    socket_.set_option(Tcp::no_delay(true));
  }
  void send() {
    asio::async_write(socket_, asio::buffer(request_),
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        if (!error) self->receive();
                      });
  }

 private:
  void receive() {
    parser_.emplace();
    parser_->body_limit(kBodyBytesMax);
    http::async_read(socket_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) {
                       if (!error) self->count();
                     });
  }
  void count() {
    const auto status = parser_->get().result_int();
    if (status == 200) {
      ++totals_.answers;
    } else if (status == 429) {
      ++totals_.refused;
    } else {
      ++totals_.failed;
      totals_.last_failure = parser_->get().body();
    }
    send();
  }

  Tcp::socket socket_;
  const std::string& request_;
  Totals& totals_;
  beast::flat_buffer buffer_;
  std::optional<http::response_parser<http::string_body>> parser_;
};

void put_load(const Load& load) {
  const std::string request =
      "POST " + load.target + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + load.token +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(load.body.size()) +
      "\r\n\r\n" + load.body;
  asio::io_context io(1);
  Totals totals;
  for (int i = 0; i < load.connections; ++i) {
    std::make_shared<Client>(io, load, request, totals)->send();
  }
  // What comes first warms up.
  io.run_for(std::chrono::milliseconds(300));
  totals = {};
  const auto start = Clock::now();
  io.run_for(
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.seconds)));
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  std::cout << "{\"requests_per_s\": " << static_cast<double>(totals.answers) / took
            << ", \"refused\": " << totals.refused << ", \"failed\": " << totals.failed << "}\n";
  if (totals.failed != 0) std::cerr << totals.last_failure << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The parts of ./run bench api"};
  app.require_subcommand(1);
  std::uint16_t echo_port = 0;
  auto* echo = app.add_subcommand("echo", "send each body back");
  echo->add_option("--port", echo_port)->required();
  Load load;
  auto* client = app.add_subcommand("load", "post the same bytes again and again");
  client->add_option("--port", load.port)->required();
  client->add_option("--seconds", load.seconds);
  client->add_option("--connections", load.connections);
  client->add_option("--target", load.target);
  client->add_option("--token", load.token);
  CLI11_PARSE(app, argc, argv);
  if (echo->parsed()) {
    serve_echo(echo_port);
    return 0;
  }
  load.body.assign(std::istreambuf_iterator<char>(std::cin), {});
  put_load(load);
  return 0;
}
