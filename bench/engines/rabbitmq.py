#!/usr/bin/env python3
"""rabbitmq.py --bin DIR: how fast the RabbitMQ sink drains a backlog, beside a bare publisher with the same guarantees.

Both publish into the same quorum queue of the same broker: persistent, mandatory and confirmed.
"""

import pathlib
import sys
import tempfile

from side_by_side import SideBySide, options  # first: it says where the tests' modules are

from rabbitmq_server import RabbitmqServer

NAME = "bench"


def main():
    arguments = options(__doc__, window=4096)
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder, RabbitmqServer(pathlib.Path(folder) / "broker") as server:
        server.start()
        bench = SideBySide(
            arguments, folder, f"amqp://127.0.0.1:{server.port}", f'[uplink.rabbitmq]\nexchange = "{NAME}"\nqueue = "{NAME}"',
            ("rabbitmq_bare", server.port, NAME, "demo.gateway.telemetry.demo.0"), lambda: server.ctl("purge_queue", NAME))  # fmt: skip
        return bench.run("quorum queue")


if __name__ == "__main__":
    sys.exit(main())
