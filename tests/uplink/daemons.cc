#include "uplink/daemons.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "spillway/core/env/posix_env.h"
#include "spillway/core/format.h"
#include "spillway/core/gateway.h"
#include "uplink/spill_maker.h"

extern char** environ;

namespace spillway::uplink::test {

namespace {

constexpr std::chrono::seconds kWatchdog{60};
constexpr std::chrono::milliseconds kLook{2};
constexpr std::uint64_t kLane = 42;

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

format::LaneIdentity lane_identity() {
  format::LaneIdentity identity;
  std::memset(static_cast<void*>(&identity), 0, sizeof(identity));
  identity.mutate_lane_id(kLane);
  identity.mutate_tick_rate_hz(kTickRate);
  identity.mutate_max_record_bytes(65536);
  identity.mutate_clock_kind(static_cast<std::uint8_t>(format::ClockKind::tsc));
  core::set_uuid(*identity.mutable_boot_id(), core::env::posix_env().boot_id());
  constexpr std::string_view kTopic = "sensor/boiler/temperature";
  identity.mutate_topic_size(static_cast<std::uint8_t>(kTopic.size()));
  std::memcpy(identity.mutable_topic()->Data(), kTopic.data(), kTopic.size());
  identity.mutate_producer_size(4);
  std::memcpy(identity.mutable_producer()->Data(), "test", 4);
  return identity;
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, std::string log)
    : log_(std::move(log)) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_GT(pid_, 0) << "cannot start " << arguments[0];
}

Process::~Process() { kill_and_wait(); }

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

std::optional<int> Process::wait() {
  int status = 0;
  const bool ended = wait_for([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
  if (!ended) return {};
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Process::kill_and_wait() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string Process::log() const { return read_text(log_); }

bool wait_for(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kWatchdog;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(kLook);  // between two looks, bounded by the watchdog
  }
  return true;
}

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(address);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

Site::Site(const std::string& name)
    : directory_(::testing::TempDir() + "/uplink-" + name + "-" + std::to_string(::getpid())) {
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directories(directory_ + "/queue/journal");
}

Site::~Site() {
  stream_.reset();
  std::filesystem::remove_all(directory_);
}

void Site::configure(const std::string& scheme, std::uint16_t listen_port,
                     std::uint16_t connect_port, const std::string& uplink_keys) {
  scheme_ = scheme;
  std::ofstream file(directory_ + "/spillway.toml");
  file << "[gateway]\nname = \"site-17/pump-3\"\nqueue_dir = \"" << directory_
       << "/queue\"\nspill_dir = \"" << directory_
       << "/spill\"\n[[stream]]\nname = \"telemetry\"\ntopics = [\"#\"]\n"
       << "[[uplink]]\nname = \"cloud\"\nstreams = [\"telemetry\"]\nurl = \"" << scheme
       << "://localhost:" << connect_port
       << "\"\nreconnect_min = \"10ms\"\nreconnect_max = \"200ms\"\n"
       << uplink_keys;
  if (scheme == "wss") file << "[uplink.tls]\nca = \"" << directory_ << "/ca.pem\"\n";
  file << "[consumer]\nlisten = \"" << scheme << "://127.0.0.1:" << listen_port
       << "\"\ninbox = \"sqlite:" << inbox() << "\"\n";
  if (scheme == "wss") {
    file << "[consumer.tls]\ncertificate = \"" << directory_ << "/server.pem\"\nkey = \""
         << directory_ << "/server.key\"\n";
  }
}

void Site::open_stream() {
  auto& env = core::env::posix_env();
  const std::string spill = directory_ + "/spill";
  std::filesystem::create_directories(spill);
  const auto gateway = core::claim_gateway(env, spill, "machine");
  ASSERT_TRUE(gateway) << gateway.error().message;
  gateway_ = gateway->id;
  core::StreamOptions options;
  options.name = "telemetry";
  options.directory = spill + "/telemetry";
  options.journal_page_path = directory_ + "/queue/journal/telemetry";
  options.gateway = gateway_;
  options.segment_bytes = 1U << 20;
  options.max_bytes = 1ULL << 30;
  options.uplinks = {"cloud"};
  auto stream = core::Stream::open(env, options);
  ASSERT_TRUE(stream) << stream.error().message;
  stream_ = std::move(*stream);
  ASSERT_TRUE(stream_->declare_lane(lane_identity(), 0, 0, false));
}

void Site::append(std::uint64_t records, std::uint32_t run, std::size_t bytes) {
  for (const std::uint64_t end = next_ + records; next_ < end;) {
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(run, end - next_));
    OwnedBlock block = make_data_block("telemetry", kLane, next_, count, 1);
    if (bytes != 0) {
      block.stored.clear();
      for (std::uint32_t i = 0; i < count; ++i) {
        const format::FrameHeader header(static_cast<std::uint32_t>(bytes + 1), 0, 0, next_ + i);
        const auto head = core::bytes_of(header);
        block.stored.insert(block.stored.end(), head.begin(), head.end());
        block.stored.resize(block.stored.size() + core::frame_bytes(bytes) - head.size(),
                            std::byte{0x5A});
      }
    }
    lane_end_ += block.stored.size();
    const auto appended = stream_->append(
        {kLane, lane_end_, block.stored, next_, core::env::posix_env().boottime_ns()});
    ASSERT_TRUE(appended) << appended.error().message;
    ASSERT_EQ(appended->first_offset, next_);
    next_ += count;
  }
}

void Site::make_certificates() {
  const std::string at = "cd " + directory_ + " && ";
  const std::string script = at +
                             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                             "-days 2 -subj /CN=test-ca -keyout ca.key -out "
                             "ca.pem && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                             "-nodes -subj /CN=localhost -keyout server.key -out "
                             "server.csr && printf 'subjectAltName=DNS:localhost' > san && openssl "
                             "x509 -req -in server.csr -CA ca.pem -CAkey "
                             "ca.key -CAcreateserial -days 2 -extfile san -out server.pem";
  ASSERT_EQ(std::system(("(" + script + ") > " + directory_ + "/openssl.log 2>&1").c_str()), 0)
      << read_text(directory_ + "/openssl.log");
}

void Site::bind_certificate(const core::Uuid& gateway) {
  const std::string script =
      "cd " + directory_ +
      " && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pump-3 -keyout "
      "client.key -out client.csr && printf 'subjectAltName=DNS:pump-3.example,"
      "URI:urn:spillway:gateway:" +
      gateway.text() +
      "' > san && openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "
      "2 "
      "-extfile san -out client.pem";
  ASSERT_EQ(std::system(("(" + script + ") > " + directory_ + "/openssl.log 2>&1").c_str()), 0)
      << read_text(directory_ + "/openssl.log");
  std::string text = read_text(directory_ + "/spillway.toml");
  if (text.find("client.pem") != std::string::npos) return;
  constexpr std::string_view kUplinkTls = "[uplink.tls]\n";
  text.insert(
      text.find(kUplinkTls) + kUplinkTls.size(),
      "certificate = \"" + directory_ + "/client.pem\"\nkey = \"" + directory_ + "/client.key\"\n");
  text += "ca = \"" + directory_ + "/ca.pem\"\n";
  std::ofstream(directory_ + "/spillway.toml") << text;
}

std::unique_ptr<Process> Site::start_consumer() {
  return std::make_unique<Process>(
      std::vector<std::string>{CONSUMER_PROGRAM, "--config", directory_ + "/spillway.toml"},
      directory_ + "/consumer-" + std::to_string(logs_++) + ".log");
}

std::unique_ptr<Process> Site::start_uplink() {
  return std::make_unique<Process>(
      std::vector<std::string>{UPLINK_PROGRAM, "--config", directory_ + "/spillway.toml"},
      directory_ + "/uplink-" + std::to_string(logs_++) + ".log");
}

void Site::add_consumer_keys(const std::string& lines) const {
  // Behind its listen, which stands before the tables below it.
  std::string text = read_text(directory_ + "/spillway.toml");
  const auto at = text.find("[consumer]\n") + std::string_view("[consumer]\n").size();
  text.insert(at, lines);
  std::ofstream(directory_ + "/spillway.toml") << text;
}

std::string Site::ask_consumer(const std::string& arguments, int& exit_code) const {
  const std::string out = directory_ + "/answer";
  const int status = std::system((std::string(CONSUMER_PROGRAM) + " " + arguments + " --config " +
                                  directory_ + "/spillway.toml > " + out + " 2>&1")
                                     .c_str());
  exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return read_text(out);
}

std::optional<std::uint64_t> Site::count() const {
  sqlite3* database = nullptr;
  std::optional<std::uint64_t> count;
  if (sqlite3_open_v2(inbox().c_str(), &database, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK) {
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(database, "SELECT sum(next_offset) FROM position", -1, &statement, nullptr);
    if (sqlite3_step(statement) == SQLITE_ROW)
      count = static_cast<std::uint64_t>(sqlite3_column_int64(statement, 0));
    sqlite3_finalize(statement);
  }
  sqlite3_close(database);
  return count;
}

bool Site::wait_for_count(std::uint64_t records) const {
  return wait_for([&] { return count().value_or(0) >= records; });
}

void Site::expect_complete(std::uint64_t next) const {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open_v2(inbox().c_str(), &database, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(
      database, "SELECT record_offset, payload, gateway, topic FROM record ORDER BY record_offset",
      -1, &statement, nullptr);
  std::uint64_t offset = 0;
  for (; sqlite3_step(statement) == SQLITE_ROW; ++offset) {
    ASSERT_EQ(static_cast<std::uint64_t>(sqlite3_column_int64(statement, 0)), offset);
    const std::string payload(static_cast<const char*>(sqlite3_column_blob(statement, 1)),
                              static_cast<std::size_t>(sqlite3_column_bytes(statement, 1)));
    ASSERT_EQ(payload, record_text("telemetry", offset));
    ASSERT_STREQ(reinterpret_cast<const char*>(sqlite3_column_text(statement, 2)),
                 gateway_.text().c_str());
    ASSERT_STREQ(reinterpret_cast<const char*>(sqlite3_column_text(statement, 3)),
                 "sensor/boiler/temperature");
  }
  sqlite3_finalize(statement);
  sqlite3_close(database);
  EXPECT_EQ(offset, next);
  EXPECT_EQ(count(), next);
}

}  // namespace spillway::uplink::test
