// The module of this engine's sink.
#include "uplink/sinks/nats/nats_setup.h"
#include "uplink/sinks/nats/nats_sink.h"

SPILLWAY_EXPORT_SINK(spillway::uplink::make_nats_sink, spillway::uplink::set_up_nats);
