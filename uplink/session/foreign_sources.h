// The streams of other gateways in a relay's directory, as sources of an uplink's session.
//
// One thread. They only become more: a relay keeps a stream that it has once received.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spillway/core/gateway.h"
#include "uplink/session/stream_source.h"

namespace spillway::uplink {

/// So many of them have dictionaries for their messages, about half a megabyte each; the others'
/// messages are compressed without one.
inline constexpr std::size_t kForeignDictionariesMax = 256;

/// Who the relay is. kNotFound until its consumer has run once.
[[nodiscard]] core::Result<core::Gateway> load_relay(core::env::Env& env,
                                                     const std::string& relay_directory);

/// Opens what is there and not among `sources` yet, up to kStreamsMax of them. True: there is something
/// new. kBusy: another uplink of this name drains the relay. Another error: one did not open, and
/// nothing else is new.
[[nodiscard]] core::Result<bool> open_new_foreign(
    core::env::Env& env, const std::string& relay_directory, const std::string& uplink,
    std::vector<std::unique_ptr<StreamSource>>& sources);

}  // namespace spillway::uplink
