#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "edge-agent/ingest/iceoryx/lane_writer.h"
#include "edge-agent/ingest/iceoryx/roudi_watch.h"
#include "spillway/core/topic.h"

namespace spillway::agent::iceoryx {
namespace {

/// A directory of the test's own.
class Folder {
 public:
  Folder() {
    std::string name = "/tmp/spillway-parts-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

int listen_on(const std::string& path) {
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  EXPECT_EQ(::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return descriptor;
}

TEST(RoudiWatch, sees_whether_somebody_listens_and_each_new_start) {
  const Folder folder;
  const std::string path = folder / "roudi";
  EXPECT_FALSE(look_for_roudi(path).life) << "no file";
  const int first = listen_on(path);
  const auto life = look_for_roudi(path).life;
  ASSERT_TRUE(life);
  EXPECT_EQ(look_for_roudi(path).life, life) << "the same as long as it lives";
  ::close(first);
  EXPECT_FALSE(look_for_roudi(path).life) << "a file that a dead one left";
  ::unlink(path.c_str());
  const int second = listen_on(path);
  const auto next = look_for_roudi(path).life;
  ASSERT_TRUE(next);
  EXPECT_FALSE(*next == *life);
  ::close(second);
}

TEST(RoudiWatch, sees_one_that_reads_nothing_more) {
  const Folder folder;
  const std::string path = folder / "roudi";
  const int roudi = listen_on(path);
  EXPECT_TRUE(look_for_roudi(path).answers);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const int application = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  while (::sendto(application, "alive", 5, 0, reinterpret_cast<sockaddr*>(&address),
                  sizeof(address)) == 5) {
  }
  EXPECT_TRUE(look_for_roudi(path).life);
  EXPECT_FALSE(look_for_roudi(path).answers);
  std::array<char, 8> message{};
  while (::recv(roudi, message.data(), message.size(), MSG_DONTWAIT) > 0) {
  }
  EXPECT_TRUE(look_for_roudi(path).answers);
  ::close(application);
  ::close(roudi);
}

core::IceoryxMapConfig map_of(const std::string& service) {
  core::IceoryxMapConfig map;
  map.service = service;
  map.instance = "i";
  map.event = "e";
  map.topic = "t";
  return map;
}

TEST(LaneWriter, names_of_producers_tell_maps_apart_and_fit) {
  EXPECT_EQ(producer_name_of(map_of("Radar")), "Radar/i/e");
  const std::string once = producer_name_of(map_of(std::string(99, 'a') + "b"));
  const std::string other = producer_name_of(map_of(std::string(99, 'a') + "c"));
  EXPECT_NE(once, other);
  EXPECT_LE(once.size(), core::kProducerNameBytesMax);
  std::string umlauts;
  for (int i = 0; i < 50; ++i) umlauts += "\u00e4";
  const std::string cut = producer_name_of(map_of("x" + umlauts.substr(0, 98)));
  EXPECT_TRUE(core::is_valid_topic(cut)) << "valid UTF-8, though cut: " << cut;
  EXPECT_TRUE(core::is_valid_topic(producer_name_of(map_of(umlauts)))) << "cut elsewhere";
}

TEST(LaneWriter, asks_for_room_without_counting_a_refusal) {
  const Folder folder;
  std::filesystem::create_directories(folder / "lanes");
  auto map = map_of("Radar");
  map.lane_bytes = 16 << 10;
  auto writer = LaneWriter::open(folder / "", map);
  ASSERT_TRUE(writer) << writer.error().message;
  const std::vector<std::byte> sample(4'000);
  int put = 0;
  // Nobody drains: it must come to an end before a put would be refused.
  while ((*writer)->has_room(sample.size())) {
    ASSERT_EQ((*writer)->put(sample), Status::kOk);
    ASSERT_LT(++put, 5);
  }
  EXPECT_GE(put, 2);
}

}  // namespace
}  // namespace spillway::agent::iceoryx
