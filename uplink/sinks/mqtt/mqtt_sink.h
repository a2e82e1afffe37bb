// The sink for an MQTT 5 broker, by libmosquitto: QoS 1, the envelope in user properties, and topic aliases, so
// that a long topic crosses the link once.
//
// One thread: the library runs inside offer() and collect().
//
// Invariants:
//  1. kStored: the broker has acknowledged the message for at least one subscriber's session. Where
//     nobody is subscribed a broker throws messages away: that is an error of the sink.
//  2. The session begins clean: what is sent again is decided here, from the spill, and not by the library.
//  3. At most the window, and what the broker takes at a time (Receive Maximum), is on its way.
#pragma once

#include <memory>

#include "spillway/core/config.h"
#include "uplink/sinks/sink.h"

namespace spillway::uplink {

[[nodiscard]] core::Result<std::unique_ptr<Sink>> make_mqtt_sink(const core::UplinkConfig& uplink);

}  // namespace spillway::uplink
