#!/usr/bin/env python3
"""nats.py --bin DIR: how fast the NATS sink drains a backlog into JetStream, beside a bare publisher with the same guarantees.

Both publish asynchronously into the same stream on files, each message with its Nats-Msg-Id.
"""

import contextlib
import pathlib
import sys
import tempfile

from side_by_side import SideBySide, options  # first: it says where the tests' modules are

from nats_server import NatsReader, NatsServer

STREAM = "BENCH"


def purge(server):
    """The stream forgets its messages, and so does its watch for doubles: the bare loop's ids are the same each round."""
    with contextlib.closing(NatsReader(server.port)) as reader:
        config = reader.stream(STREAM)["config"]
        reader.ask(f"$JS.API.STREAM.DELETE.{STREAM}", None)
        reader.ask(f"$JS.API.STREAM.CREATE.{STREAM}", config)


def main():
    arguments = options(__doc__, window=4096)
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder:
        server = NatsServer(pathlib.Path(folder) / "server").start()
        try:
            bench = SideBySide(
                arguments, folder, server.url, f'[uplink.nats]\nstream = "{STREAM}"\nsubjects = "bench.>"\nsubject = "bench.{{stream}}.{{topic}}"',
                ("nats_bare", server.port, "bench.telemetry.demo.0"), lambda: purge(server))  # fmt: skip
            return bench.run("JetStream on files")
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
