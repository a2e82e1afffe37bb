// network-forwarder NEAR_NETNS NEAR_DEVICE FAR_NETNS FAR_DEVICE SEED: a link between two network namespaces.
//
// Makes one TUN device in each namespace (paths such as /proc/PID/fd/N), prints `ready`, and carries packets
// from one to the other until its standard input ends. Meanwhile it reads commands there, one a line, and
// answers each with one line:
//
//   set up|down|both [delay_ms=N] [jitter_ms=N] [loss=F] [duplicate=F] [reorder=F] [hold_ms=N]
//                    [rate=BYTES/S] [queue=BYTES] [mtu=BYTES] [hole=0|1]     keys not named keep their value
//   clear            both directions as at the start: a perfect link
//   forget           the TCP connections that stand vanish, new ones pass (a NAT that lost its memory)
//   stats            one line of JSON
//
// `up` is from the near end to the far one. One thread.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <sstream>
#include <string>

#include "system/network/flow_table.h"
#include "system/network/link_model.h"

namespace {

using namespace spillway::network_test;

constexpr std::size_t kPacketBytesMax = 65536;
constexpr int kPacketsATurn =
    64;  // so that neither direction, nor a command, waits long for the other
constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::size_t kCommandBytesMax = 4096;

[[noreturn]] void die(const std::string& what) {
  std::cerr << "network-forwarder: " << what << ": " << std::strerror(errno) << '\n';
  std::exit(3);
}

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNsPerSecond +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// A TUN device belongs to the namespace of the thread that opens it.
int open_tun(const char* netns, const std::string& device) {
  const int space = open(netns, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) != 0) die(std::string("entering ") + netns);
  close(space);
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) die("opening /dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(tun, TUNSETIFF, &request) != 0) die("making the device " + device);
  return tun;
}

/// One setting by its name; false if there is no such, or the value is no number.
bool assign(PathSettings& settings, const std::string& key, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || value < 0) return false;
  const auto whole = static_cast<std::uint64_t>(value);
  if (key == "delay_ms")
    settings.delay_ns = whole * kNsPerMs;
  else if (key == "jitter_ms")
    settings.jitter_ns = whole * kNsPerMs;
  else if (key == "hold_ms")
    settings.hold_ns = whole * kNsPerMs;
  else if (key == "loss")
    settings.loss = value;
  else if (key == "duplicate")
    settings.duplicate = value;
  else if (key == "reorder")
    settings.reorder = value;
  else if (key == "rate")
    settings.rate_bytes_per_s = whole;
  else if (key == "queue")
    settings.queue_bytes = whole;
  else if (key == "mtu")
    settings.mtu_bytes = whole;
  else if (key == "hole")
    settings.hole = whole != 0;
  else
    return false;
  return true;
}

std::string json_of(const PathCounts& counts) {
  std::ostringstream out;
  out << "{\"offered\":" << counts.offered << ",\"offered_bytes\":" << counts.offered_bytes
      << ",\"swallowed\":" << counts.swallowed << ",\"too_big\":" << counts.too_big
      << ",\"lost\":" << counts.lost << ",\"queue_full\":" << counts.queue_full
      << ",\"duplicated\":" << counts.duplicated << ",\"reordered\":" << counts.reordered
      << ",\"carried\":" << counts.carried << ",\"carried_bytes\":" << counts.carried_bytes << "}";
  return out.str();
}

/// One direction: where its packets come from and go to.
struct Direction {
  Path path;
  int from;
  int to;
  bool up;
};

class Forwarder {
 public:
  Forwarder(int near, int far, std::uint64_t seed)
      : ways_{Direction{Path(seed), near, far, true}, Direction{Path(seed + 1), far, near, false}} {
  }

  void run();

 private:
  void wait();
  void read_packets(Direction& way);
  void write_packets(Direction& way);
  bool read_commands();
  std::string obey(const std::string& line);
  bool set(std::istringstream& words);

  std::array<Direction, 2> ways_;
  std::array<pollfd, 3> polled_{};
  FlowTable flows_;
  std::string commands_;
};

void Forwarder::wait() {
  polled_ = {pollfd{ways_[0].from, POLLIN, 0}, pollfd{ways_[1].from, POLLIN, 0},
             pollfd{STDIN_FILENO, POLLIN, 0}};
  timespec pause{};
  const timespec* limit = nullptr;
  for (const Direction& way : ways_) {
    const auto due = way.path.due_ns();
    if (!due) continue;
    const std::uint64_t now = now_ns();
    const std::uint64_t wait_ns = *due > now ? *due - now : 0;
    const timespec wait{static_cast<time_t>(wait_ns / kNsPerSecond),
                        static_cast<long>(wait_ns % kNsPerSecond)};
    const bool sooner = limit == nullptr || wait.tv_sec < pause.tv_sec ||
                        (wait.tv_sec == pause.tv_sec && wait.tv_nsec < pause.tv_nsec);
    if (sooner) pause = wait;
    limit = &pause;
  }
  if (ppoll(polled_.data(), polled_.size(), limit, nullptr) < 0 && errno != EINTR) die("waiting");
}

void Forwarder::read_packets(Direction& way) {
  std::array<std::uint8_t, kPacketBytesMax> buffer;
  for (int i = 0; i < kPacketsATurn; ++i) {
    const ssize_t size = read(way.from, buffer.data(), buffer.size());
    if (size <= 0) return;  // nothing more, or the device is down just now
    Packet packet(buffer.begin(), buffer.begin() + size);
    if (flows_.passes(packet, way.up)) way.path.offer(std::move(packet), now_ns());
  }
}

void Forwarder::write_packets(Direction& way) {
  const std::uint64_t now = now_ns();
  while (const auto packet = way.path.take(now)) {
    // A device that is down takes nothing: lost, as on a real link.
    static_cast<void>(!write(way.to, packet->data(), packet->size()));
  }
}

bool Forwarder::set(std::istringstream& words) {
  std::string which;
  words >> which;
  if (which != "up" && which != "down" && which != "both") return false;
  std::array<PathSettings, 2> wanted{ways_[0].path.settings(), ways_[1].path.settings()};
  for (std::string word; words >> word;) {
    const std::size_t at = word.find('=');
    if (at == std::string::npos) return false;
    for (PathSettings& settings : wanted) {
      if (!assign(settings, word.substr(0, at), word.substr(at + 1))) return false;
    }
  }
  for (std::size_t i = 0; i < ways_.size(); ++i) {
    if (which == "both" || (which == "up") == ways_[i].up) ways_[i].path.set(wanted[i], now_ns());
  }
  return true;
}

std::string Forwarder::obey(const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  if (verb == "set") return set(words) ? "ok" : "wrong: " + line;
  if (verb == "clear") {
    for (Direction& way : ways_) way.path.set({}, now_ns());
    return "ok";
  }
  if (verb == "forget") {
    flows_.forget();
    return "ok";
  }
  if (verb == "stats") {
    return "{\"up\":" + json_of(ways_[0].path.counts()) +
           ",\"down\":" + json_of(ways_[1].path.counts()) + "}";
  }
  return "wrong: " + line;
}

/// False at the input's end.
bool Forwarder::read_commands() {
  std::array<char, kCommandBytesMax> buffer;
  const ssize_t size = read(STDIN_FILENO, buffer.data(), buffer.size());
  if (size <= 0) return size < 0 && errno == EINTR;
  commands_.append(buffer.data(), static_cast<std::size_t>(size));
  for (std::size_t end; (end = commands_.find('\n')) != std::string::npos;) {
    std::cout << obey(commands_.substr(0, end)) << std::endl;
    commands_.erase(0, end + 1);
  }
  return commands_.size() <= kCommandBytesMax;
}

void Forwarder::run() {
  std::cout << "ready" << std::endl;
  while (true) {
    wait();
    for (std::size_t i = 0; i < ways_.size(); ++i) {
      if (polled_[i].revents != 0) read_packets(ways_[i]);
    }
    for (Direction& way : ways_) write_packets(way);
    if (polled_[2].revents != 0 && !read_commands()) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: network-forwarder NEAR_NETNS NEAR_DEVICE FAR_NETNS FAR_DEVICE SEED\n";
    return 2;
  }
  const int near = open_tun(argv[1], argv[2]);
  const int far = open_tun(argv[3], argv[4]);
  Forwarder(near, far, std::strtoull(argv[5], nullptr, 10)).run();
  return 0;
}
