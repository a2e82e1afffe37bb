#include "uplink/consumer/relay/open_relay.h"

#include "spillway/core/env/open_files.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/log.h"
#include "uplink/consumer/relay/relay_inbox.h"

namespace spillway::consumer {

core::Result<std::unique_ptr<Inbox>> open_relay(const core::Config& config) {
  const core::RelayConfig& relay = config.consumer->relay;
  core::env::raise_open_files_limit();
  RelayOptions options;
  options.directory = relay.directory;
  options.machine_id = core::read_machine_id();
  options.segment_bytes = relay.segment_bytes;
  options.stream_bytes = relay.stream_bytes;
  options.max_bytes = relay.max_bytes;
  options.max_age_ns = relay.max_age_ns;
  options.when_full = relay.when_full;
  for (const core::UplinkConfig& uplink : config.uplinks) {
    if (uplink.relay == relay.directory) options.uplinks.push_back(uplink.name);
  }
  const bool is_drained = !options.uplinks.empty();
  SPILLWAY_TRY(inbox, RelayInbox::open(core::env::posix_env(), std::move(options)));
  if (!is_drained) {
    spdlog::warn("no [[uplink]] has relay = \"{}\": what comes is kept until the relay is full",
                 relay.directory);
  }
  const RelayTotals totals = inbox->totals();
  spdlog::info("relay {}: gateway {}, {} foreign streams, {} bytes", relay.directory,
               inbox->gateway().id.text(), totals.streams, totals.held_bytes);
  return std::unique_ptr<Inbox>(std::move(inbox));
}

}  // namespace spillway::consumer
