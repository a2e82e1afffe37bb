// The API's HTTP fuzzer: raw bytes, in pieces, into a real session over a socket pair, before a real
// service with lanes of the fuzzer's own. What it shows: no crash, no hang, nothing kept of a connection
// that has gone, and that whatever is answered is HTTP.
//
// The first byte says into how many pieces the rest falls, and whether lanes are full.
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "edge-agent/ingest/api/http_session.h"
#include "tests/edge-agent/ingest/api_world.h"
#include "tests/fuzz/promise.h"

namespace spillway::fuzz {
namespace {

using namespace agent::api;
namespace asio = boost::asio;

constexpr int kTurnsMax = 1000;
constexpr std::size_t kBodyBytesMax = 4096;

void turn(asio::io_context& io) {
  for (int i = 0; i < kTurnsMax; ++i) {
    io.restart();
    if (io.poll() == 0) return;
  }
  check(false, "a session comes to rest");
}

struct Fuzzed {
  Fuzzed() {
    spdlog::set_level(spdlog::level::off);
    world.config.body_bytes_max = kBodyBytesMax;
    world.config.bodies_bytes_max = kBodyBytesMax;
    const auto put = world.schemas->put("t", std::as_bytes(std::span(kReadingSchema)));
    check(put.has_value(), "the fuzzer's own schema is good");
  }
  ApiWorld world;
};

void run(std::span<const std::uint8_t> bytes) {
  static Fuzzed fuzzed;
  if (bytes.empty()) return;
  FakeLanes& lanes = fuzzed.world.lanes;
  lanes.full = (bytes[0] & 0x80U) != 0;
  const std::size_t piece = std::size_t{1} << (bytes[0] & 0x0FU);
  bytes = bytes.subspan(1);
  Door door{fuzzed.world.service, fuzzed.world.config, [] { return std::uint64_t{1}; }};
  asio::io_context io(1);
  asio::local::stream_protocol::socket near(io);
  asio::local::stream_protocol::socket far(io);
  asio::local::connect_pair(near, far);
  far.non_blocking(true);
  std::make_shared<HttpSession<PlainStream>>(
      PlainStream(asio::generic::stream_protocol::socket(std::move(near))), door)
      ->start();
  std::string answers;
  std::array<char, 65536> room{};
  const auto receive = [&] {
    turn(io);
    const auto got = ::recv(far.native_handle(), room.data(), room.size(), MSG_DONTWAIT);
    if (got > 0 && answers.size() < 1024)
      answers.append(room.data(), static_cast<std::size_t>(got));
  };
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(piece, bytes.size()));
    static_cast<void>(
        ::send(far.native_handle(), part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    bytes = bytes.subspan(part.size());
    receive();
  }
  ::shutdown(far.native_handle(), SHUT_WR);
  receive();
  far.close();
  turn(io);
  check(door.connections == 0, "a connection that has gone leaves nothing");
  check(door.bodies_bytes == 0, "what was promised to bodies is given back");
  check(answers.empty() || answers.starts_with("HTTP/1.1 "), "what is answered is HTTP");
  lanes.records.clear();
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillway::fuzz::run({data, size});
  return 0;
}
