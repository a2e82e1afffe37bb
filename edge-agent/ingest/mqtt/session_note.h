// SessionNote: what this client's session at the broker was subscribed to, <state_dir>/session.json: a session outlives
// the configuration, and a broker tells nobody what is in it.
//
// One thread.
#pragma once

#include <string>
#include <vector>

#include "spillway/core/env/env.h"
#include "spillway/core/mqtt_ingest_config.h"
#include "spillway/core/result.h"

namespace spillway::agent::mqtt {

class SessionNote {
 public:
  /// A file that is not there, or of another broker or client_id, knows of no session.
  [[nodiscard]] static core::Result<SessionNote> read(core::env::Env& env,
                                                      const core::MqttIngestConfig& config);

  /// The broker had such a session.
  [[nodiscard]] bool had_session() const { return !filters_.empty(); }
  /// What it may be subscribed to and `wanted` does not have.
  [[nodiscard]] std::vector<std::string> former(const std::vector<std::string>& wanted) const;
  /// Before these are subscribed: the session may have them from now on, beside the former ones.
  [[nodiscard]] core::Result<void> add(core::env::Env& env, const std::vector<std::string>& wanted);
  /// The session has these and no others.
  [[nodiscard]] core::Result<void> settle(core::env::Env& env, std::vector<std::string> wanted);

 private:
  [[nodiscard]] core::Result<void> store(core::env::Env& env, std::vector<std::string> filters);

  std::string directory_;
  std::string broker_;
  std::string client_id_;
  std::vector<std::string> filters_;
};

}  // namespace spillway::agent::mqtt
