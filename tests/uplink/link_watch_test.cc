// LinkWatch against the kernel itself: each test has a network namespace of its own.
#include "uplink/link/link_watch.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "uplink/link/link_table.h"

namespace spillway::uplink::test {
namespace {

constexpr std::chrono::seconds kWatchdog{30};

/// A thread with a network of its own: what it starts is in there, too.
class InOwnNetwork {
 public:
  template <typename Body>
  explicit InOwnNetwork(Body body) {
    std::thread thread([&] {
      if (::unshare(CLONE_NEWNET) != 0) {
        skipped_ = std::string("no network namespace of its own: ") + std::strerror(errno);
      } else if (std::system("ip -V > /dev/null 2>&1") != 0) {
        skipped_ = "the ip command is not installed";
      } else if (std::system("ip link add probe0 type veth peer name probe1 2> /dev/null && "
                             "ip link del probe0") != 0) {
        skipped_ = "this kernel makes no veth pairs";
      } else {
        body();
      }
    });
    thread.join();
  }
  [[nodiscard]] const std::string& skipped() const { return skipped_; }

 private:
  std::string skipped_;
};

#define IN_OWN_NETWORK(body)                                           \
  do {                                                                 \
    const InOwnNetwork network(body);                                  \
    if (!network.skipped().empty()) GTEST_SKIP() << network.skipped(); \
  } while (false)

void ip(const std::string& arguments) {
  ASSERT_EQ(std::system(("ip " + arguments).c_str()), 0) << "ip " << arguments;
}

/// wan0, with a far end that gives it a carrier.
void add_wan() {
  ip("link add wan0 type veth peer name far0");
  ip("link set far0 up");
}

/// The kernel tells of a carrier in its own time.
void set_up() {
  ip("link set wan0 up");
  ASSERT_EQ(
      std::system("for i in $(seq 1 3000); do ip link show wan0 | grep -q 'state UP' && exit 0; "
                  "sleep 0.01; done; exit 1"),
      0);
}

struct Watched {
  Watched() {
    auto started = LinkWatch::start(io, [this](const std::string& name) { told.push_back(name); });
    EXPECT_TRUE(started) << started.error().message;
    if (started) watch = std::move(*started);
  }
  /// Until something more was told.
  bool wait() {
    const std::size_t before = told.size();
    const auto end = std::chrono::steady_clock::now() + kWatchdog;
    while (told.size() == before && std::chrono::steady_clock::now() < end) io.run_one_until(end);
    return told.size() > before;
  }
  /// What the kernel has said so far is taken up; nothing else can come.
  void settle() {
    io.restart();
    io.poll();
  }
  boost::asio::io_context io;
  std::vector<std::string> told;
  std::unique_ptr<LinkWatch> watch;
};

TEST(LinkWatch, AnAddressOnARunningLinkBringsItUp) {
  IN_OWN_NETWORK([] {
    Watched watched;
    ASSERT_NE(watched.watch, nullptr);
    add_wan();
    set_up();
    watched.settle();
    EXPECT_FALSE(watched.watch->is_up("wan0"));
    // A link-local address, which every interface gives itself, is none to be reached by.
    EXPECT_TRUE(watched.told.empty());
    ip("address add 192.0.2.7/24 dev wan0");
    ASSERT_TRUE(watched.wait());
    EXPECT_EQ(watched.told, std::vector<std::string>{"wan0"});
    EXPECT_TRUE(watched.watch->is_up("wan0"));
    EXPECT_FALSE(watched.watch->is_up("wan1"));
  });
}

TEST(LinkWatch, ADefaultRouteAndASecondUpAreToldButNotWhatIsKnown) {
  IN_OWN_NETWORK([] {
    add_wan();
    ip("address add 192.0.2.7/24 dev wan0");
    set_up();
    Watched watched;
    ASSERT_NE(watched.watch, nullptr);
    watched.settle();
    EXPECT_TRUE(watched.watch->is_up("wan0"));
    EXPECT_TRUE(watched.told.empty()) << "what was up before is no news";
    ip("route add default via 192.0.2.1 dev wan0");
    ASSERT_TRUE(watched.wait());
    // A lease renewed, another route: nothing that a connection waits for.
    ip("address change 192.0.2.7/24 dev wan0 valid_lft 3600 preferred_lft 3600");
    ip("route add 198.51.100.0/24 via 192.0.2.1 dev wan0");
    watched.settle();
    EXPECT_EQ(watched.told.size(), 1U);
    ip("link set wan0 down");
    watched.settle();
    EXPECT_FALSE(watched.watch->is_up("wan0"));
    EXPECT_EQ(watched.told.size(), 1U) << "going down is no news";
    ip("link set far0 down");
    ip("link set far0 up");
    ip("link set wan0 up");
    ASSERT_TRUE(watched.wait());
    watched.settle();
    EXPECT_EQ(watched.told.back(), "wan0");
    EXPECT_TRUE(watched.watch->is_up("wan0"));
    // The kernel took the route away with the link: with it comes news again.
    ip("route add default via 192.0.2.1 dev wan0");
    ASSERT_TRUE(watched.wait());
  });
}

TEST(LinkWatch, LostMessagesMeanThatSomethingHasChanged) {
  IN_OWN_NETWORK([] {
    Watched watched;
    ASSERT_NE(watched.watch, nullptr);
    // Nobody reads meanwhile: more messages than the socket's buffer holds.
    add_wan();
    set_up();
    ASSERT_EQ(std::system("for i in 1 2 3 4 5 6 7 8; do for j in $(seq 1 250); do echo address add "
                          "10.$i.$j.1/32 dev wan0; done; done | ip -batch -"),
              0);
    ASSERT_TRUE(watched.wait());
    EXPECT_EQ(watched.told.front(), "");
    EXPECT_TRUE(watched.watch->is_up("wan0")) << "asked anew";
    watched.settle();
    ip("address add 192.0.2.7/24 dev wan0");
    ASSERT_TRUE(watched.wait()) << "and it goes on";
    EXPECT_EQ(watched.told.back(), "wan0");
  });
}

TEST(LinkTable, BytesThatAreNoMessageAreDropped) {
  LinkTable table;
  std::vector<std::byte> bytes(256);
  for (unsigned fill = 0; fill < 256; ++fill) {
    std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(fill));
    static_cast<void>(table.apply(bytes));
    for (const int type :
         std::initializer_list<int>{RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, NLMSG_ERROR}) {
      for (std::size_t size = 0; size <= 64; ++size) {
        nlmsghdr header{};
        header.nlmsg_len = static_cast<std::uint32_t>(size);
        header.nlmsg_type = static_cast<std::uint16_t>(type);
        std::memcpy(bytes.data(), &header, sizeof(header));
        const auto news = table.apply(std::span(bytes).first(64));
        EXPECT_TRUE(news.came_up.empty());
      }
    }
  }
}

}  // namespace
}  // namespace spillway::uplink::test
