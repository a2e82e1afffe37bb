// The module of this engine's sink.
#include "uplink/sinks/rabbitmq/rabbitmq_setup.h"
#include "uplink/sinks/rabbitmq/rabbitmq_sink.h"

SPILLWAY_EXPORT_SINK(spillway::uplink::make_rabbitmq_sink, spillway::uplink::set_up_rabbitmq);
