// HttpSession: one connection, over TCP, TLS or a Unix socket: requests one after the other.
//
//   kIdle --(first byte)--> kHeader --(end of header)--> kBody --(end of body)--> kAnswering --> kIdle
//
// Each state has its timeout; a peer that is slower is cut off. One thread; it keeps itself alive by
// the operation under way.
//
// Invariants:
//  1. At most one body of body_bytes_max is held; all sessions' together are at most bodies_bytes_max.
//  2. A request that is not HTTP, or too large, is answered as such and ends the connection.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <memory>
#include <optional>

#include "edge-agent/ingest/api/door.h"

namespace spillway::agent::api {

namespace beast = boost::beast;
namespace http = boost::beast::http;

using PlainStream = beast::basic_stream<boost::asio::generic::stream_protocol>;
using TlsStream = beast::ssl_stream<PlainStream>;

template <typename Stream>
class HttpSession : public std::enable_shared_from_this<HttpSession<Stream>> {
 public:
  HttpSession(Stream stream, Door& door);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  /// For a TLS stream: the handshake comes first.
  void start();

 private:
  using Error = beast::error_code;
  using Parser = http::request_parser<http::string_body>;

  void wait_for_request();
  void read_header();
  void on_header(Error error);
  void read_body();
  void on_body(Error error);
  void handle();
  void refuse(int status, const std::string& why);
  void write(const Answer& answer, bool keep_alive);
  void on_written(Error error);
  void close();
  void give_back();
  void expire_after(std::uint64_t ns) {
    beast::get_lowest_layer(stream_).expires_after(std::chrono::nanoseconds(ns));
  }

  Stream stream_;
  Door& door_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  http::response<http::string_body> response_;
  std::uint64_t promised_ = 0;  // of bodies_bytes
};

extern template class HttpSession<PlainStream>;
extern template class HttpSession<TlsStream>;

}  // namespace spillway::agent::api
