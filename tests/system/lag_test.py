"""lag_test.py --bin DIR: what `status` says of the levels, with a consumer that stands still and a sync that is far off."""

import argparse
import json
import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
RECORDS = 200


class Lag(unittest.TestCase):
    def open_world(self, sync_interval):
        self.world = World(ARGUMENTS.bin, sync_interval=sync_interval)
        self.addCleanup(self.world.close)
        self.world.link.start()
        self.world.agent.start()
        self.world.wait_ready()
        return self.world

    def put(self, count, *flags):
        put = self.world.command("put", "sensor/x", "--queue-dir", self.world.queue_dir, *flags, "--json", input="x\n" * count)
        self.assertEqual(0, put.returncode, put.stderr)
        return json.loads(put.stdout)

    def lag(self):
        status = self.world.status()
        streams = (status or {}).get("agent", {}).get("streams") or [{}]
        return streams[0].get("lag")

    def wait_for(self, condition, what):
        return wait_until(lambda: (lag := self.lag()) and condition(lag) and lag, what)

    def test_a_sync_that_is_far_off(self):
        self.open_world("1h")
        answer = self.put(RECORDS, "--level", "process-safe")
        self.assertEqual("process-safe", answer["level"])
        lag = self.wait_for(lambda lag: lag["power_safe"]["records"] == RECORDS, "the records to be seen")
        self.assertEqual(0, lag["process_safe"]["records"])
        self.wait_for(lambda later: later["power_safe"]["ms"] > lag["power_safe"]["ms"] + 1_000, "the age to grow")
        text = self.world.command("status", "--config", self.world.gateway_config).stdout
        self.assertRegex(text, rf"lag +telemetry: not yet process-safe 0 records; not yet power-safe {RECORDS} records, [\d.]+ s;")
        self.assertEqual("power-safe", self.put(1, "--level", "power-safe")["level"])
        self.wait_for(lambda lag: lag["power_safe"] == {"records": 0, "ms": 0}, "the sync to be seen")

    def test_a_consumer_that_stands_still(self):
        world = self.open_world("50ms")
        world.consumer.start()
        world.uplink.start()
        self.put(RECORDS)
        self.wait_for(lambda lag: lag["delivered"] == [{"uplink": "cloud", "records": 0, "ms": 0}] and world.acknowledged() == RECORDS,
                      "the delivery")  # fmt: skip
        os.kill(world.consumer.process.pid, signal.SIGSTOP)
        self.addCleanup(world.consumer.kill)
        self.put(RECORDS)
        lag = self.wait_for(lambda lag: lag["delivered"][0]["records"] == RECORDS, "the records to be seen")
        lag = self.wait_for(lambda later: later["delivered"][0]["ms"] > lag["delivered"][0]["ms"] + 1_000, "the age to grow")
        self.assertEqual({"records": 0, "ms": 0}, lag["power_safe"])
        os.kill(world.consumer.process.pid, signal.SIGCONT)
        self.wait_for(lambda lag: lag["delivered"][0]["records"] == 0, "the delivery")


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
