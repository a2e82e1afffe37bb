#include "uplink/link/link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>

#include "spillway/core/log.h"
#include "uplink/link/link_table.h"

namespace spillway::uplink {

using boost::system::error_code;
using core::Result;

namespace {

/// The kernel's messages are at most this large, says rtnetlink(7) of dumps: 32 KiB.
constexpr std::size_t kBatchBytesMax = 32U * 1024;
/// So many batches are taken up in one go before others have their turn.
constexpr int kBatchesMax = 64;
/// The kernel answers a question at once or never.
constexpr int kAnswersMax = 4096;
constexpr unsigned kGroups =
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

tl::unexpected<core::Error> unavailable(const std::string& what) {
  return core::fail(core::ErrorCode::kUnavailable,
                    "cannot watch the network interfaces (" + what + "): " + std::strerror(errno));
}

}  // namespace

class LinkWatch::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::io_context& io, OnUp on_up) : descriptor_(io), on_up_(std::move(on_up)) {}

  Result<void> open() {
    const int events = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (events < 0) return unavailable("netlink socket");
    descriptor_.assign(events);
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = kGroups;
    if (::bind(events, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return unavailable("netlink groups");
    }
    // Asked after the groups were joined: what changes meanwhile comes as a message.
    SPILLWAY_CHECKED(ask_all());
    wait();
    return {};
  }
  void stop() {
    on_up_ = nullptr;
    error_code ignored;
    descriptor_.close(ignored);
  }
  [[nodiscard]] bool is_up(std::string_view interface) const { return table_.is_up(interface); }

 private:
  Result<void> ask_all() {
    const int questions =
        ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (questions < 0) return unavailable("netlink socket");
    table_.clear();
    Result<void> outcome;
    for (const int type : {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE}) {
      if (outcome) outcome = ask(questions, static_cast<std::uint16_t>(type));
    }
    ::close(questions);
    return outcome;
  }

  Result<void> ask(int questions, std::uint16_t type) {
    struct {
      nlmsghdr header;
      rtgenmsg body;
    } question{};
    question.header.nlmsg_len = NLMSG_LENGTH(sizeof(rtgenmsg));
    question.header.nlmsg_type = type;
    question.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.body.rtgen_family = AF_UNSPEC;
    if (::send(questions, &question, question.header.nlmsg_len, 0) < 0) {
      return unavailable("netlink question");
    }
    for (int i = 0; i < kAnswersMax; ++i) {
      const ssize_t size = ::recv(questions, batch_.data(), batch_.size(), 0);
      if (size < 0) return unavailable("netlink answer");
      const auto news = table_.apply({batch_.data(), static_cast<std::size_t>(size)});
      if (news.error != 0) {
        errno = news.error;
        return unavailable("netlink refusal");
      }
      if (news.is_done) return {};
    }
    errno = EMSGSIZE;
    return unavailable("netlink answer without end");
  }

  void wait() {
    descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this()](error_code error) {
                             if (error || !self->on_up_) return;
                             self->take();
                             if (self->on_up_) self->wait();
                           });
  }

  void take() {
    std::set<std::string> came_up;
    for (int i = 0; i < kBatchesMax; ++i) {
      const ssize_t size =
          ::recv(descriptor_.native_handle(), batch_.data(), batch_.size(), MSG_DONTWAIT);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == ENOBUFS) {
        ask_anew();
        came_up = {""};
        continue;
      }
      if (size <= 0) break;
      auto news = table_.apply({batch_.data(), static_cast<std::size_t>(size)});
      came_up.merge(news.came_up);
    }
    for (const std::string& interface : came_up) {
      if (const OnUp told = on_up_) told(interface);
    }
  }

  /// Without an answer the table stays empty, and each later message fills it.
  void ask_anew() {
    if (const auto asked = ask_all(); !asked) spdlog::warn("{}", asked.error().message);
  }

  boost::asio::posix::stream_descriptor descriptor_;
  OnUp on_up_;
  LinkTable table_;
  alignas(nlmsghdr) std::array<std::byte, kBatchBytesMax> batch_{};
};

LinkWatch::LinkWatch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
LinkWatch::~LinkWatch() { impl_->stop(); }

Result<std::unique_ptr<LinkWatch>> LinkWatch::start(boost::asio::io_context& io, OnUp on_up) {
  auto impl = std::make_shared<Impl>(io, std::move(on_up));
  SPILLWAY_CHECKED(impl->open());
  return std::unique_ptr<LinkWatch>(new LinkWatch(std::move(impl)));
}

bool LinkWatch::is_up(std::string_view interface) const { return impl_->is_up(interface); }

}  // namespace spillway::uplink
