// The socket shell with peers that misbehave, and links that die.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <thread>

#include "uplink/consumer/sources/handshake_queue.h"
#include "uplink/link_shell.h"

namespace spillway::uplink::test {
namespace {

using consumer::HandshakeQueue;

/// A peer that writes what it likes, and reads nothing but what it asks for.
class RawPeer {
 public:
  explicit RawPeer(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ~RawPeer() { ::close(socket_); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  /// False once the other end has had enough. What it does not take now goes before the next.
  bool write(const std::string& bytes) {
    if (pending_.empty()) pending_ = bytes;
    while (!pending_.empty()) {
      const ssize_t size =
          ::send(socket_, pending_.data(), pending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (size < 0 && errno == EAGAIN) return true;
      if (size < 0) return false;
      pending_.erase(0, static_cast<std::size_t>(size));
    }
    return true;
  }
  bool upgrade() {
    return write(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: spillway.v1\r\n\r\n");
  }

 private:
  int socket_;
  std::string pending_;
};

std::string frame(int first_byte, const std::string& payload) {
  std::string bytes{static_cast<char>(first_byte)};
  if (payload.size() < 126) {
    bytes += static_cast<char>(0x80 | payload.size());
  } else {
    bytes += static_cast<char>(0x80 | 126);
    bytes += static_cast<char>(payload.size() >> 8U);
    bytes += static_cast<char>(payload.size() & 255U);
  }
  return bytes + std::string(4, '\0') + payload;  // masked by zeros
}

constexpr int kText = 0x81;
constexpr int kBinary = 0x82;
constexpr int kBinaryBegin = 0x02;
constexpr int kMore = 0x00;
constexpr int kPing = 0x89;
constexpr int kCompressed = 0xC2;

class Hostile : public ::testing::Test {
 protected:
  /// An open connection of a raw peer.
  std::unique_ptr<RawPeer> open() {
    shell_.listen();
    auto peer = std::make_unique<RawPeer>(shell_.port());
    EXPECT_TRUE(peer->upgrade());
    EXPECT_TRUE(shell_.run_until([&] { return shell_.server != nullptr; }));
    return peer;
  }
  std::string end_after(RawPeer& peer, const std::string& first, const std::string& again = "") {
    peer.write(first);
    const bool ended = shell_.run_until([&] {
      if (!again.empty()) peer.write(again);
      return !shell_.server_ends.empty();
    });
    return ended ? shell_.server_ends.front().message : "(it did not end)";
  }
  LogCapture log_;
  LinkShell shell_;
};

TEST_F(Hostile, TextIsRefused) {
  const auto peer = open();
  EXPECT_NE(end_after(*peer, frame(kText, "hello")).find("sent text"), std::string::npos);
}

TEST_F(Hostile, CompressedFramesAreRefused) {
  const auto peer = open();
  const std::string said = end_after(*peer, frame(kCompressed, "hello"));
  EXPECT_NE(said.find("broke the WebSocket protocol"), std::string::npos)
      << "and does not wait for a peer that does not close: " << said;
  EXPECT_TRUE(shell_.at_server.empty());
}

TEST_F(Hostile, AMessageThatIsTooLargeInPiecesIsRefused) {
  const auto peer = open();
  const std::string piece = frame(kMore, std::string(60'000, 'x'));
  const std::string said = end_after(*peer, frame(kBinaryBegin, "x"), piece);
  EXPECT_NE(said.find("reading from"), std::string::npos) << said;
}

TEST_F(Hostile, AMessageOfEmptyPiecesWithoutEndIsRefused) {
  const auto peer = open();
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += frame(kMore, "");
  const std::string said = end_after(*peer, frame(kBinaryBegin, "x"), many);
  EXPECT_NE(said.find("without end"), std::string::npos) << said;
}

TEST_F(Hostile, PingsWithoutEndAreRefused) {
  const auto peer = open();
  std::string many;
  for (int i = 0; i < 1000; ++i) many += frame(kPing, "x");
  const std::string said = end_after(*peer, many, many);
  EXPECT_NE(said.find("pings without end"), std::string::npos) << said;
}

TEST_F(Hostile, AnEndlessUpgradeRequestIsDropped) {
  shell_.listen();
  RawPeer peer(shell_.port());
  peer.write("GET / HTTP/1.1\r\n");
  EXPECT_TRUE(shell_.run_until([&] {
    peer.write("X-More: and more of it, line by line, without end\r\n");
    return log_.has("dropped during its upgrade request");
  })) << log_.text();
}

TEST_F(Hostile, WhoSaysNothingIsDroppedAndHoldsNobodyUp) {
  shell_.listen();
  const RawPeer silent(shell_.port());
  RawPeer slow(shell_.port());
  slow.write("GET / HT");
  shell_.connect(shell_.target());
  ASSERT_TRUE(shell_.run_until([&] { return shell_.is_open; }));
  EXPECT_TRUE(shell_.echo("served meanwhile"));
  EXPECT_TRUE(shell_.run_until([&] {
    const std::string log = log_.text();
    const std::string told = "dropped during its handshakes: nothing came from 127.0.0.1:";
    const std::size_t first = log.find(told);
    return first != std::string::npos && log.find(told, first + 1) != std::string::npos;
  })) << log_.text();
  EXPECT_TRUE(shell_.echo("and still"));
}

TEST_F(Hostile, MessagesInPiecesArriveWhole) {
  const auto peer = open();
  ASSERT_TRUE(peer->write(frame(kBinaryBegin, "one, ") + frame(kPing, "?") + frame(kMore, "two, ") +
                          frame(0x80, "three")));
  ASSERT_TRUE(shell_.run_until([&] { return !shell_.at_server.empty(); }));
  EXPECT_EQ(shell_.at_server.front(), "one, two, three");
  ASSERT_TRUE(peer->write(frame(kBinary, "next")));
  ASSERT_TRUE(shell_.run_until([&] { return shell_.at_server.size() == 2; }));
}

TEST(HandshakeQueue, TheAddressWithTheMostGivesWay) {
  HandshakeQueue queue(4);
  EXPECT_FALSE(queue.add(1, "good"));
  EXPECT_FALSE(queue.add(2, "bad"));
  EXPECT_FALSE(queue.add(3, "bad"));
  EXPECT_FALSE(queue.add(4, "bad"));
  EXPECT_EQ(queue.add(5, "bad"), 2U) << "its own oldest";
  EXPECT_EQ(queue.add(6, "other"), 3U);
  EXPECT_EQ(queue.size(), 4U);
  queue.remove(1);
  queue.remove(1);
  queue.remove(99);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_FALSE(queue.add(7, "third"));
  EXPECT_EQ(queue.add(8, "third"), 4U);
}

TEST(HandshakeQueue, OfEqualsTheOldestGoes) {
  HandshakeQueue queue(2);
  EXPECT_FALSE(queue.add(1, "b"));
  EXPECT_FALSE(queue.add(2, "a"));
  EXPECT_EQ(queue.add(3, "c"), 1U);
  EXPECT_EQ(queue.add(4, "d"), 2U);
}

/// Carries bytes between client and listener until it stops: both halves stay open, and nobody is
/// told.
class Valve {
 public:
  explicit Valve(boost::asio::io_context& io, std::uint16_t to_port)
      : acceptor_(io, {boost::asio::ip::address_v4::loopback(), 0}), near_(io), far_(io) {
    acceptor_.async_accept(near_, [this, to_port](const auto& error) {
      if (error) return;
      far_.connect({boost::asio::ip::address_v4::loopback(), to_port});
      carry(near_, far_, up_);
      carry(far_, near_, down_);
    });
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void stop() {
    acceptor_.cancel();
    near_.cancel();
    far_.cancel();
  }
  void close() {
    near_.close();
    far_.close();
    acceptor_.close();
  }

 private:
  using Tcp = boost::asio::ip::tcp::socket;
  void carry(Tcp& from, Tcp& to, std::array<char, 65536>& buffer) {
    from.async_read_some(boost::asio::buffer(buffer),
                         [this, &from, &to, &buffer](const auto& error, std::size_t bytes) {
                           if (error) return;
                           to.send(boost::asio::buffer(buffer, bytes));
                           carry(from, to, buffer);
                         });
  }
  boost::asio::ip::tcp::acceptor acceptor_;
  Tcp near_;
  Tcp far_;
  std::array<char, 65536> up_{};
  std::array<char, 65536> down_{};
};

TEST(DeadLink, AHalfOpenLinkIsNoticedAtBothEndsInSeconds) {
  LinkShell shell;
  shell.listen();
  Valve valve(shell.io, shell.port());
  LinkTarget target = shell.target();
  target.endpoint.port = valve.port();
  target.timeouts.ping = std::chrono::milliseconds(1'000);
  shell.connect(target);
  ASSERT_TRUE(shell.run_until([&] { return shell.is_open; }));
  ASSERT_TRUE(shell.echo("alive"));
  valve.stop();
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(shell.run_until([&] { return shell.client_end.has_value(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_NE(shell.client_end->message.find("no sign of life"), std::string::npos)
      << shell.client_end->message;
  ASSERT_TRUE(shell.run_until([&] { return !shell.server_ends.empty(); }));
  EXPECT_NE(shell.server_ends.front().message.find("no sign of life"), std::string::npos);
  const WireBytes last = shell.client->wire_bytes();
  EXPECT_GT(last.sent, 300U) << "kept after the end";
  valve.close();
}

TEST(WireBytes, CountWhatWentOverTheWire) {
  LinkShell shell;
  shell.listen();
  shell.connect(shell.target());
  ASSERT_TRUE(shell.run_until([&] { return shell.is_open; }));
  const WireBytes before = shell.client->wire_bytes();
  EXPECT_GT(before.sent, 200U) << "the handshakes";
  ASSERT_TRUE(shell.echo(std::string(1'000'000, 'x')));
  const WireBytes after = shell.client->wire_bytes();
  // The message, its header, and headers of packets of up to 64 KiB on loopback, acks included.
  EXPECT_GT(after.sent - before.sent, 1'000'000U);
  EXPECT_LT(after.sent - before.sent, 1'050'000U);
  EXPECT_GT(after.received - before.received, 1'000'000U);
  EXPECT_LT(after.received - before.received, 1'050'000U);
  // What one end sends, the other receives.
  ASSERT_TRUE(shell.echo("done"));
  const WireBytes there = shell.server->wire_bytes();
  EXPECT_NEAR(static_cast<double>(there.received),
              static_cast<double>(shell.client->wire_bytes().sent), 5000);
}

}  // namespace
}  // namespace spillway::uplink::test
