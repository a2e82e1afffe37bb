#!/usr/bin/env python3
"""mqtt.py --bin DIR: how fast the MQTT sink drains a backlog into mosquitto, beside a bare publisher with the same guarantees.

Both publish with QoS 1 and the same user properties; a subscriber with QoS 0 takes what comes, for a broker without one throws
messages away and says so.
"""

import pathlib
import subprocess
import sys
import tempfile

from side_by_side import SideBySide, options  # first: it says where the tests' modules are

from mosquitto_server import MosquittoServer


def main():
    arguments = options(__doc__, window=1000)
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder:
        server = MosquittoServer(pathlib.Path(folder) / "server").start()
        subscriber = subprocess.Popen(["mosquitto_sub", "-V", "mqttv5", "-p", str(server.port), "-q", "0", "-t", "#"], stdout=subprocess.DEVNULL)
        try:
            bench = SideBySide(arguments, folder, server.url, '[uplink.mqtt]\ntopic = "bench/{stream}/{topic}"',
                               ("mqtt_bare", server.port, "bench/telemetry/demo/0"), needs_setup=False)  # fmt: skip
            return bench.run("QoS 1")
        finally:
            subscriber.kill()
            subscriber.wait()
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
