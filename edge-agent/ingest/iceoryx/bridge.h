// Bridge: the parent of the reader process. It watches RouDi, starts and ends readers as Keeper
// says, and shows in <queue_dir>/iceoryx.status what they have counted.
//
// One thread, and no iceoryx in it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "edge-agent/ingest/iceoryx/bridge_page.h"
#include "edge-agent/ingest/iceoryx/keeper.h"
#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "spillway/core/service_notifier.h"

namespace spillway::agent::iceoryx {

/// What the status says beside the counts.
struct BridgeFacts {
  std::string
      state;  // "waiting for the agent", "waiting for RouDi", "reading", "leaving", "stopped"
  std::string error;  // why the last reader ended; empty: it was told to
  std::uint64_t lives = 0;
  std::uint64_t starts = 0;
  bool roudi_there = false;
  bool roudi_answers = true;
};

[[nodiscard]] std::string render_status(const core::IceoryxConfig& config, const BridgePage& page,
                                        const BridgeFacts& facts);

class Bridge {
 public:
  /// kBusy: another bridge runs on this queue directory.
  [[nodiscard]] static core::Result<std::unique_ptr<Bridge>> open(core::env::Env& env,
                                                                  const core::Config& config);
  /// Until SIGTERM or SIGINT, or a reader says that the configuration can never work.
  /// The caller has blocked SIGCHLD, SIGTERM and SIGINT.
  [[nodiscard]] core::Result<void> run();

 private:
  Bridge(core::env::Env& env, const core::Config& config, SharedPage page)
      : env_(env), config_(config), page_(std::move(page)) {}
  void act(Keeper::Action action);
  void start_reader();
  [[nodiscard]] core::Result<void> reap();
  [[nodiscard]] core::Result<bool> lock_queue();
  void say_state(bool roudi_there);
  void watch_answers(bool answers, std::uint64_t now_ns);
  void show_status(bool now);

  core::env::Env& env_;
  const core::Config& config_;
  SharedPage page_;
  Keeper keeper_;
  core::ServiceNotifier notifier_;
  std::unique_ptr<core::env::File> lock_;
  pid_t reader_ = 0;
  BridgeFacts facts_;
  std::string shown_;
  std::string status_error_;
  std::uint64_t status_due_ns_ = 0;
  std::uint64_t answered_ns_ = 0;  // the last time that RouDi had room for a message
};

}  // namespace spillway::agent::iceoryx
