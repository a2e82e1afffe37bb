// What the loopback tests need: a gateway's spill written with the real Stream, the two daemons as
// processes, their configuration, certificates, and the oracle that reads the inbox's file.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/core/stream.h"

namespace spillway::uplink::test {

/// A child process; killed when this goes.
class Process {
 public:
  /// `log` takes what it writes to standard error.
  Process(const std::vector<std::string>& arguments, std::string log);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const;
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// The exit code, or 128 + signal; nothing if it still runs after the watchdog.
  [[nodiscard]] std::optional<int> wait();
  void kill_and_wait();
  [[nodiscard]] std::string log() const;

 private:
  std::string log_;
  pid_t pid_ = -1;
};

/// True as soon as `done` says so; false after the watchdog (60 s).
[[nodiscard]] bool wait_for(const std::function<bool()>& done);
[[nodiscard]] std::uint16_t free_port();

/// One machine in one directory: spill, queue, configuration, inbox.
class Site {
 public:
  explicit Site(const std::string& name);
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string inbox() const { return directory_ + "/inbox.db"; }
  /// Where the consumer listens and where the uplink connects: two ports if a relay stands between.
  /// `uplink_keys`: more lines of [[uplink]].
  void configure(const std::string& scheme, std::uint16_t listen_port, std::uint16_t connect_port,
                 const std::string& uplink_keys = "");
  /// As the agent's first run does: the gateway's id and an empty stream.
  void open_stream();
  /// Appends records 0..: their text is record_text("telemetry", offset), or `bytes` long each if
  /// that is not 0.
  void append(std::uint64_t records, std::uint32_t run = 100, std::size_t bytes = 0);
  void make_certificates();
  /// From then on only uplinks with a certificate of the same authority are let in; this site's names
  /// this gateway.
  void bind_certificate(const core::Uuid& gateway);
  [[nodiscard]] const core::Uuid& gateway() const { return gateway_; }

  [[nodiscard]] std::unique_ptr<Process> start_consumer();
  /// More lines of [consumer].
  void add_consumer_keys(const std::string& lines) const;
  /// A command of spillway-consumer on this site's configuration: its standard output, and its exit
  /// code.
  [[nodiscard]] std::string ask_consumer(const std::string& arguments, int& exit_code) const;
  [[nodiscard]] std::unique_ptr<Process> start_uplink();

  /// How many records the inbox holds; nothing if it cannot be read now.
  [[nodiscard]] std::optional<std::uint64_t> count() const;
  [[nodiscard]] bool wait_for_count(std::uint64_t records) const;
  /// The oracle: exactly the records [0, next), each once, unaltered, in order, and the position
  /// behind them.
  void expect_complete(std::uint64_t next) const;

 private:
  std::string directory_;
  std::string scheme_ = "ws";
  std::unique_ptr<core::Stream> stream_;
  core::Uuid gateway_;
  std::uint64_t lane_end_ = 0;
  std::uint64_t next_ = 0;
  int logs_ = 0;
};

}  // namespace spillway::uplink::test
