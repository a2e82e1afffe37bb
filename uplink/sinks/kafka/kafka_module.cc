// The module of this engine's sink.
#include "uplink/sinks/kafka/kafka_setup.h"
#include "uplink/sinks/sink_module.h"

SPILLWAY_EXPORT_SINK(spillway::uplink::kafka::make_kafka_sink,
                     spillway::uplink::kafka::set_up_kafka);
