// The module of this engine's sink.
#include "uplink/sinks/http/http_sink.h"
#include "uplink/sinks/sink_module.h"

SPILLWAY_EXPORT_SINK(spillway::uplink::make_http_sink, nullptr);
