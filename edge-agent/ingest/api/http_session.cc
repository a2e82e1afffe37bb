#include "edge-agent/ingest/api/http_session.h"

#include <array>
#include <chrono>

namespace spillway::agent::api {
namespace {

constexpr std::size_t kFirstReadBytes = 4096;
constexpr std::uint64_t kTlsGoodbyeNs = 1'000'000'000;

Method method_of(http::verb verb) {
  if (verb == http::verb::get) return Method::kGet;
  if (verb == http::verb::put) return Method::kPut;
  return verb == http::verb::post ? Method::kPost : Method::kOther;
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

/// What a parser's error means to the peer; 0: nothing can be said.
int status_of(const beast::error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  const bool of_http = error.category() == http::make_error_code(http::error::bad_value).category();
  const bool ended = error == http::error::end_of_stream || error == http::error::partial_message;
  return of_http && !ended ? 400 : 0;
}

}  // namespace

template <typename Stream>
HttpSession<Stream>::HttpSession(Stream stream, Door& door)
    : stream_(std::move(stream)), door_(door), buffer_(kHeaderBytesMax + (64U << 10)) {
  ++door_.connections;
}

template <typename Stream>
HttpSession<Stream>::~HttpSession() {
  give_back();
  --door_.connections;
}

template <typename Stream>
void HttpSession<Stream>::give_back() {
  door_.bodies_bytes -= promised_;
  promised_ = 0;
}

template <typename Stream>
void HttpSession<Stream>::start() {
  if constexpr (std::is_same_v<Stream, TlsStream>) {
    expire_after(door_.config.header_timeout_ns);
    stream_.async_handshake(boost::asio::ssl::stream_base::server,
                            [self = this->shared_from_this()](Error error) {
                              if (!error) self->wait_for_request();
                            });
  } else {
    wait_for_request();
  }
}

template <typename Stream>
void HttpSession<Stream>::wait_for_request() {
  if (door_.closing) return close();
  parser_.emplace();
  parser_->header_limit(kHeaderBytesMax);
  parser_->body_limit(door_.config.body_bytes_max);
  if (buffer_.size() != 0) return read_header();
  // An open connection may be silent for longer than a request may take to come.
  expire_after(door_.config.idle_timeout_ns);
  stream_.async_read_some(buffer_.prepare(kFirstReadBytes),
                          [self = this->shared_from_this()](Error error, std::size_t size) {
                            if (error) return self->close();
                            self->buffer_.commit(size);
                            self->read_header();
                          });
}

template <typename Stream>
void HttpSession<Stream>::read_header() {
  expire_after(door_.config.header_timeout_ns);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = this->shared_from_this()](Error error, std::size_t) { self->on_header(error); });
}

template <typename Stream>
void HttpSession<Stream>::on_header(Error error) {
  if (error) {
    const int status = status_of(error);
    return status == 0 ? close() : refuse(status, "not a request: " + error.message());
  }
  // Before a byte of the body is kept.
  const auto length = parser_->content_length();
  promised_ = length ? *length : door_.config.body_bytes_max;
  if (parser_->is_done()) promised_ = 0;
  if (promised_ > door_.config.body_bytes_max) {
    promised_ = 0;
    return refuse(413, "a body has at most body_bytes_max bytes");
  }
  if (door_.bodies_bytes + promised_ > door_.config.bodies_bytes_max) {
    promised_ = 0;
    return refuse(503, "too many bodies at a time (bodies_bytes_max)");
  }
  door_.bodies_bytes += promised_;
  if (!beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read_body();
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  boost::asio::async_write(stream_, boost::asio::buffer(kContinue),
                           [self = this->shared_from_this()](Error failed, std::size_t) {
                             if (failed) return self->close();
                             self->read_body();
                           });
}

template <typename Stream>
void HttpSession<Stream>::read_body() {
  expire_after(door_.config.body_timeout_ns);
  http::async_read(
      stream_, buffer_, *parser_,
      [self = this->shared_from_this()](Error error, std::size_t) { self->on_body(error); });
}

template <typename Stream>
void HttpSession<Stream>::on_body(Error error) {
  if (!error) return handle();
  const int status = status_of(error);
  return status == 0 ? close() : refuse(status, "a broken body: " + error.message());
}

template <typename Stream>
void HttpSession<Stream>::handle() {
  // The service answers within its own time.
  beast::get_lowest_layer(stream_).expires_never();
  const auto& message = parser_->get();
  Request request;
  request.method = method_of(message.method());
  request.target = view(message.target());
  request.content_type = view(message[http::field::content_type]);
  request.authorization = view(message[http::field::authorization]);
  request.idempotency_key = view(message["Idempotency-Key"]);
  request.body = message.body();
  const bool keep_alive = message.keep_alive();
  door_.service.handle(request, door_.now_ns(),
                       [self = this->shared_from_this(), keep_alive](const Answer& answer) {
                         self->write(answer, keep_alive);
                       });
}

template <typename Stream>
void HttpSession<Stream>::refuse(int status, const std::string& why) {
  write(error_answer(status, why), false);
}

template <typename Stream>
void HttpSession<Stream>::write(const Answer& answer, bool keep_alive) {
  parser_.reset();  // with its body
  give_back();
  response_ = {static_cast<http::status>(answer.status), 11};
  response_.set(http::field::server, "spillway-api");
  response_.set(http::field::content_type, answer.content_type);
  if (answer.retry_after_s != 0) {
    response_.set(http::field::retry_after, std::to_string(answer.retry_after_s));
  }
  if (answer.status == 401) response_.set(http::field::www_authenticate, "Bearer");
  response_.keep_alive(keep_alive && !door_.closing);
  response_.body() = answer.body;
  response_.prepare_payload();
  expire_after(door_.config.body_timeout_ns);
  http::async_write(
      stream_, response_,
      [self = this->shared_from_this()](Error error, std::size_t) { self->on_written(error); });
}

template <typename Stream>
void HttpSession<Stream>::on_written(Error error) {
  if (error || !response_.keep_alive()) return close();
  wait_for_request();
}

template <typename Stream>
void HttpSession<Stream>::close() {
  if constexpr (std::is_same_v<Stream, TlsStream>) {
    expire_after(kTlsGoodbyeNs);
    stream_.async_shutdown([self = this->shared_from_this()](Error) {});
  } else {
    // What the peer still sends would turn the close into a reset, which takes the answer with it.
    beast::error_code none;
    stream_.socket().shutdown(boost::asio::socket_base::shutdown_send, none);
    expire_after(kTlsGoodbyeNs);
    parser_.reset();
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kFirstReadBytes),
                            [self = this->shared_from_this()](Error, std::size_t) {});
  }
}

template class HttpSession<PlainStream>;
template class HttpSession<TlsStream>;

}  // namespace spillway::agent::api
