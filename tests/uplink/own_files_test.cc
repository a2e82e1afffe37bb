// Which files an uplink may write: a cursor's neighbours are others' cursors and the records themselves.
#include "uplink/daemon/own_files.h"

#include <gtest/gtest.h>

namespace spillway::uplink {
namespace {

OwnFiles own_files() {
  core::Config config;
  config.gateway.queue_dir = "/none/queue/";
  config.gateway.spill_dir = "/none/../none/spill";
  core::UplinkConfig cloud;
  cloud.name = "cloud";
  core::UplinkConfig far;
  far.name = "far";
  far.relay = "/none/relay";
  return {config, {cloud, far}};
}

TEST(OwnFilesTest, HoldsCursorsAndWhatLiesBesideThem) {
  const OwnFiles own = own_files();
  for (const char* path :
       {"/none/spill/telemetry/cursors", "/none/spill/telemetry/cursors/cloud",
        "/none/spill/telemetry/cursors/cloud.utc.new", "/none/spill/telemetry/cursors/cloud.dead",
        "/none/spill/telemetry/cursors/cloud.dead.lock",
        "/none/spill/telemetry/cursors/cloud.lte.budget", "/none/queue/spill/telemetry/cursors",
        "/none/queue/spill/telemetry/cursors/cloud", "/none/queue/uplink-cloud.status",
        "/none/queue/uplink-far.status.new", "/none/relay/0123/telemetry/cursors/far",
        "/none/relay/0123/telemetry/cursors", "/none/relay/uplink-far.utc"}) {
    EXPECT_TRUE(own.holds(path)) << path;
  }
}

TEST(OwnFilesTest, HoldsNothingElse) {
  const OwnFiles own = own_files();
  for (const char* path : {"",
                           "/",
                           "/cursors",
                           "/cursors/cloud",
                           "/none/spill/cursors",
                           "/none/spill/cursors/cloud",
                           "/none/spill/telemetry",
                           "/none/spill/telemetry/control",
                           "/none/spill/telemetry/gaps",
                           "/none/spill/telemetry/0000000000000001-0000000000000000.spill",
                           "/none/spill/gateway",
                           "/none/spill/telemetry/cursors/cloudy",
                           "/none/spill/telemetry/cursors/other",
                           "/none/spill/telemetry/cursors/cloud/x",
                           "/none/spill/telemetry/cursors/cursors/other",
                           "/none/spill/a/b/c/cursors/cloud",
                           "/none/spillage/telemetry/cursors/cloud",
                           "/none/queue/agent.status",
                           "/none/queue/uplink-cloudy.status",
                           "/none/queue/control",
                           "/none/queue/uplink-cloud.status/x",
                           "/none/queue/lanes/cursors/cloud",
                           "/none/relay/uplink-cloud.utc",
                           "/none/relay/0123/telemetry/control",
                           "/elsewhere/telemetry/cursors/cloud"}) {
    EXPECT_FALSE(own.holds(path)) << path;
  }
}

}  // namespace
}  // namespace spillway::uplink
