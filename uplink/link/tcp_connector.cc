#include "uplink/link/tcp_connector.h"

#include <boost/asio/write.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstring>
#include <utility>

#include "uplink/link/proxy.h"
#include "uplink/link/socket_options.h"

namespace spillway::uplink {

namespace http = boost::beast::http;
using core::ErrorCode;
using core::Result;

namespace {

std::string words_of(const error_code& error) {
  if (error == asio::error::connection_refused) {
    return "Connection refused: nothing listens there; is it running, and is the port right?";
  }
  if (error == asio::error::host_not_found) return "there is no such name in DNS";
  if (error == asio::error::host_not_found_try_again) return "no DNS server answers";
  return error.message();
}

std::string text_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct TcpConnector::ProxyAnswer {
  ProxyAnswer() {
    parser.header_limit(kAnswerBytesMax);
    parser.skip(true);
  }
  std::size_t held = 0;  // bytes that the parser has not taken yet
  http::response_parser<http::empty_body> parser;
};

TcpConnector::TcpConnector(asio::io_context& io, Socket& socket, const LinkTarget& target)
    : socket_(socket),
      target_(target),
      resolver_(io),
      timer_(io),
      host_(target.proxy ? target.proxy->host : target.endpoint.host),
      port_(target.proxy ? target.proxy->port : target.endpoint.port),
      where_((target.proxy ? "the proxy " : "") + authority_of(host_, port_)) {}

void TcpConnector::start(std::shared_ptr<void> owner, Done done) {
  owner_ = std::move(owner);
  done_ = std::move(done);
  error_code not_an_address;
  const auto address = asio::ip::make_address(host_, not_an_address);
  if (not_an_address) return look_up();
  addresses_.emplace_back(address, port_);
  try_next();
}

void TcpConnector::stop() {
  done_ = nullptr;
  resolver_.cancel();
  timer_.cancel();
  owner_.reset();
}

void TcpConnector::look_up() {
  arm(target_.timeouts.connect, [this] {
    resolver_.cancel();
    give_up("looking up " + host_ + ": no DNS server answers in time");
  });
  resolver_.async_resolve(host_, std::to_string(port_),
                          [this, owner = owner_](const error_code& error, const auto& all) {
                            if (!done_) return;
                            if (error)
                              return give_up("looking up " + host_ + ": " + words_of(error));
                            for (const auto& found : all) {
                              if (addresses_.size() < kAddressesMax)
                                addresses_.push_back(found.endpoint());
                            }
                            try_next();
                          });
}

void TcpConnector::try_next() {
  if (next_ == addresses_.size()) {
    return give_up("connecting to " + where_ + ": " + last_error_);
  }
  const tcp::endpoint endpoint = addresses_[next_++];
  if (const auto opened = open(endpoint); !opened) {
    last_error_ = opened.error().message;
    return try_next();
  }
  const bool is_last = next_ == addresses_.size();
  const auto full = target_.timeouts.connect;
  arm(is_last ? full : std::min(full, kFirstTries), [this] {
    error_code ignored;
    socket_.close(ignored);  // ends the try below
  });
  socket_.async_connect(endpoint, [this, owner = owner_](const error_code& error) {
    if (!done_) return;
    timer_.cancel();
    if (!error) return connected();
    last_error_ = error == asio::error::operation_aborted ? "no answer in time" : words_of(error);
    try_next();
  });
}

Result<void> TcpConnector::open(const tcp::endpoint& endpoint) {
  error_code error;
  socket_.close(error);
  socket_.open(endpoint.protocol(), error);
  if (error) return core::fail(ErrorCode::kUnavailable, error.message());
  set_for_messages(socket_.native_handle());
  if (target_.interface.empty()) return {};
  return bind_to_interface(socket_.native_handle(), target_.interface, endpoint.address().is_v6());
}

void TcpConnector::connected() {
  if (target_.proxy) return ask_proxy();
  finish({});
}

void TcpConnector::ask_proxy() {
  std::string credentials;
  if (!target_.proxy->credentials_file.empty()) {
    auto read = read_credentials(target_.proxy->credentials_file);
    if (!read) return give_up(read.error().message);
    credentials = std::move(*read);
  }
  gave_credentials_ = !credentials.empty();
  request_ = connect_request(target_.endpoint, credentials);
  arm(target_.timeouts.connect * 2,
      [this] { give_up(where_ + " does not answer our CONNECT in time"); });
  asio::async_write(socket_, asio::buffer(request_),
                    [this, owner = owner_](const error_code& error, std::size_t) {
                      if (!done_) return;
                      if (error) return give_up("asking " + where_ + ": " + error.message());
                      answer_ = std::make_shared<ProxyAnswer>();
                      read_proxy();
                    });
}

void TcpConnector::read_proxy() {
  if (answer_->held == bytes_.size()) {
    return give_up(where_ + " answers without end where a proxy would answer our CONNECT");
  }
  const auto room = asio::buffer(bytes_.data() + answer_->held, bytes_.size() - answer_->held);
  socket_.async_read_some(room, [this, owner = owner_](const error_code& error, std::size_t bytes) {
    if (!done_) return;
    if (error) {
      const bool ended = error == asio::error::eof;
      return give_up(where_ + (ended ? " closed the connection instead of answering our CONNECT"
                                     : " broke off: " + error.message()));
    }
    take_proxy_answer(bytes);
  });
}

void TcpConnector::take_proxy_answer(std::size_t bytes) {
  answer_->held += bytes;
  auto& parser = answer_->parser;
  error_code error;
  const std::size_t taken = parser.put(asio::buffer(bytes_.data(), answer_->held), error);
  // The parser takes whole lines.
  answer_->held -= taken;
  std::memmove(bytes_.data(), bytes_.data() + taken, answer_->held);
  if (error == http::error::need_more) return read_proxy();
  if (error == http::error::header_limit) {
    return give_up(where_ + " answers without end where a proxy would answer our CONNECT");
  }
  if (error) return give_up(where_ + " does not answer in HTTP; is it an HTTP proxy?");
  if (!parser.is_header_done()) return read_proxy();
  const auto& response = parser.get();
  if (response.result_int() / 100 == 2) {
    // Nobody behind an open way speaks before we do.
    if (answer_->held == 0) return finish({});
    return give_up(where_ +
                   " answers with a page of its own instead of an open way: a network that "
                   "wants a login first, or no proxy");
  }
  const HttpAnswer answer{response.result_int(), text_of(response.reason()),
                          text_of(response[http::field::location]),
                          text_of(response[http::field::content_type]),
                          text_of(response[http::field::proxy_authenticate])};
  give_up(explain_proxy(answer, authority_of(host_, port_),
                        authority_of(target_.endpoint.host, target_.endpoint.port),
                        gave_credentials_)
              .message);
}

void TcpConnector::give_up(std::string message) {
  finish(core::fail(ErrorCode::kUnavailable, std::move(message)));
}

void TcpConnector::finish(const Result<void>& outcome) {
  timer_.cancel();
  answer_.reset();
  const auto owner = std::move(owner_);
  if (const Done done = std::exchange(done_, nullptr)) done(outcome);
}

void TcpConnector::arm(std::chrono::milliseconds timeout, std::function<void()> on_timeout) {
  timer_.expires_after(timeout);
  timer_.async_wait([this, owner = owner_, told = std::move(on_timeout)](const error_code& error) {
    if (!error && done_) told();
  });
}

}  // namespace spillway::uplink
