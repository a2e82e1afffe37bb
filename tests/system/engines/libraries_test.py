#!/usr/bin/env python3
"""libraries_test.py --bin DIR --source DIR: the programs need no engine's library but where its sink is built in.

The agent and the command never need one. The uplink without sinks is proven by its parts: what it is linked from beside the
sinks' own objects, and `make_sink` without them, names no symbol of an engine's library.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import unittest

ARGUMENTS = None
ENGINES = ("librabbitmq", "librdkafka", "libmosquitto", "libnats")
SYMBOLS = re.compile(r" U (amqp_|rd_kafka_|mosquitto_|natsConnection_|js_)")


def libraries_of(program):
    return subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout


class Libraries(unittest.TestCase):
    def test_agent_and_command_need_none(self):
        for name in ("spillway-agent", "spillway"):
            needed = libraries_of(ARGUMENTS.bin / name)
            self.assertEqual([], [engine for engine in ENGINES if engine in needed], name)

    def test_only_the_sinks_own_objects_need_one(self):
        objects = [path for path in (ARGUMENTS.bin.parent / "uplink").rglob("*.o")]
        self.assertGreater(len(objects), 30, "these are not the uplink's objects")
        needing = set()
        for path in objects:
            symbols = subprocess.run(["nm", "--undefined-only", path], capture_output=True, text=True, check=True).stdout
            if SYMBOLS.search(symbols):
                needing.add(path)
        strangers = [str(path) for path in needing if not re.search(r"/(sinks|sources|engines)[./]", str(path))]
        self.assertEqual([], strangers)
        self.assertTrue(needing, "no sink was built, so this test could not fail")

    def test_the_uplink_without_sinks_names_the_option_that_is_missing(self):
        source = (ARGUMENTS.source / "uplink/sinks/make_sink.cc").read_text()
        self.assertIn("SPILLWAY_SINK_RABBITMQ", source)
        # Its one file that decides it, compiled without any of the options.
        out = ARGUMENTS.bin.parent / "make_sink_without.o"
        include = [f"-I{ARGUMENTS.source}", f"-I{ARGUMENTS.source}/core/include", f"-I{ARGUMENTS.bin.parent}/generated"]
        subprocess.run(["g++", "-std=c++20", "-c", *include, ARGUMENTS.source / "uplink/sinks/make_sink.cc", "-o", out], check=True)
        symbols = subprocess.run(["nm", "--undefined-only", "-C", out], capture_output=True, text=True, check=True).stdout
        out.unlink()
        self.assertNotRegex(symbols, "rabbitmq|kafka|mqtt|nats")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--source", required=True, type=pathlib.Path)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
