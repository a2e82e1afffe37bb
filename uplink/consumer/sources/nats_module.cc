// The module of this engine's source.
#include "uplink/consumer/sources/nats_source.h"
#include "uplink/consumer/sources/source_module.h"

SPILLWAY_EXPORT_SOURCE(spillway::consumer::make_nats_source);
