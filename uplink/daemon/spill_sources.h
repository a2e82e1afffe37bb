// SpillSources: what an uplink drains: this machine's streams, or those that a relay stored.
//
// One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spillway/core/config.h"
#include "spillway/core/env/env.h"
#include "spillway/core/gateway.h"
#include "uplink/policy/stream_scheduler.h"
#include "uplink/session/stream_source.h"

namespace spillway::uplink {

/// By waiting: a person has to change something first.
[[nodiscard]] bool cannot_be_helped(const core::Error& error);

class SpillSources {
 public:
  SpillSources(core::env::Env& env, const core::Config& config, const core::UplinkConfig& uplink);

  /// An error that can be helped: try again in a while; one stream that does not open keeps the others
  /// waiting for a few seconds only.
  [[nodiscard]] core::Result<void> open();
  void close() { sources_.clear(); }
  /// Other files stand under the names of those that are open, or another gateway's id.
  [[nodiscard]] bool changed() const;
  /// Opens the streams that came to the relay since. Looks every kLookNs; a failure is logged.
  void look_for_foreign();
  /// Makes what moved power-safe, about once a second. What fails is logged when it is new, and tried again: not
  /// power-safe is not lost, for what is above a cursor goes again.
  void sync_cursors();
  /// The same at the end, wherever the streams stand.
  void settle_cursors();
  /// Why the cursors are in memory only; empty: they are not.
  [[nodiscard]] const std::string& cursor_error() const { return cursor_error_; }
  [[nodiscard]] bool is_relay() const { return !relay_.empty(); }

  [[nodiscard]] const core::Gateway& gateway() const { return gateway_; }
  [[nodiscard]] std::vector<std::unique_ptr<StreamSource>>& list() { return sources_; }
  /// Those that are relayed share alike: [[stream]] says nothing of other gateways' streams.
  [[nodiscard]] std::vector<StreamShare> shares() const;
  /// Beside the first cursor, where the uplink may write: what other files of its begin with.
  [[nodiscard]] std::string notes_stem() const;

  /// How often a relay's directory is looked at for streams that its session does not name.
  static constexpr std::uint64_t kLookNs = 2'000'000'000;

 private:
  [[nodiscard]] core::Result<void> open_relay();
  [[nodiscard]] bool missing_one_is_back() const;

  core::env::Env& env_;
  std::string spill_dir_;
  std::vector<core::StreamConfig> stream_configs_;
  std::string uplink_;
  std::vector<std::string> streams_;
  std::string relay_;
  core::Gateway gateway_;
  std::vector<std::unique_ptr<StreamSource>> sources_;
  std::vector<std::string> missing_;    // streams that do not open; the others go without them
  std::uint64_t waiting_since_ns_ = 0;  // for all of them, by BOOTTIME; 0: not yet
  std::uint64_t looked_at_ns_ = 0;
  std::string look_error_;
  std::string cursor_error_;
};

}  // namespace spillway::uplink
