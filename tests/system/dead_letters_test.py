"""dead_letters_test.py --bin DIR: `spillway dead` on a file that is written here as docs/format.md says.

What a person does with records that a far end refused: list, show, requeue, drop, while agent and uplink run.
"""

import argparse
import base64
import json
import pathlib
import struct
import sys
import time
import unittest
import uuid

import xxhash

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
PAGE = 4096
JOURNAL = uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100")


def header(next_number=1, taken_out=0):
    rest = b"SPILLDED" + struct.pack("<IIQQ", 1, 0, next_number, taken_out)
    return (struct.pack("<Q", xxhash.xxh3_64_intdigest(rest)) + rest).ljust(PAGE, b"\0")


def letter(number, offset, topic, reason, payload, record_size=None):
    topic, reason = topic.encode(), reason.encode()
    size = len(payload) if record_size is None else record_size
    rest = struct.pack("<QQ16sQQIIHHI", number, offset, JOURNAL.bytes, 1_700_000_000 * 10**9, 0, size, len(payload),
                       len(topic), len(reason), 0) + topic + reason + payload  # fmt: skip
    whole = struct.pack("<Q", xxhash.xxh3_64_intdigest(rest)) + rest
    return whole.ljust(-(-len(whole) // PAGE) * PAGE, b"\0")


class DeadLetters(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin)
        self.addCleanup(self.world.close)
        for daemon in (self.world.link, self.world.consumer, self.world.agent, self.world.uplink):
            daemon.start()
        self.world.wait_ready()
        self.file = self.world.spill_dir / "telemetry" / "cursors" / "cloud.dead"
        wait_until(lambda: (self.file.parent / "cloud").exists(), "the uplink's cursor")

    def write(self, *letters):
        self.file.write_bytes(header() + b"".join(letters))

    def dead(self, *arguments, exit_code=0):
        result = self.world.command("dead", *arguments, "--config", self.world.gateway_config)
        self.assertEqual(exit_code, result.returncode, result.stdout + result.stderr)
        return result.stdout

    def letters(self):
        (shelf,) = json.loads(self.dead("list", "--json"))["dead"]
        return shelf

    def test_what_stands_in_the_file_is_listed_and_shown(self):
        self.assertEqual([], self.letters()["letters"])
        self.write(letter(1, 17, "a/b", "no table for it", b"first"), letter(2, 18, "a/c", "too large", b"x" * 5000, 9000))
        first, second = self.letters()["letters"]
        self.assertEqual((1, 17, "a/b", "no table for it"), tuple(first[key] for key in ("number", "offset", "topic", "reason")))
        self.assertEqual(str(JOURNAL), first["journal"])
        self.assertEqual((9000, 5000), (second["record_bytes"], second["kept_bytes"]))
        self.assertIn("no table for it", self.dead("list"))
        shown = json.loads(self.dead("show", "1", "--json"))
        self.assertEqual(b"first", base64.b64decode(shown["payload_base64"]))
        self.assertEqual("first", self.dead("show", "1", "--raw"))
        self.dead("show", "3", exit_code=1)

    def test_a_requeued_one_is_a_new_record_that_names_its_origin(self):
        self.write(letter(1, 17, "a/b", "no table for it", b"first"), letter(2, 18, "a/c", "too large", b"cut", 9000),
                   letter(5, 30, "a/d", "no table for it", b"third"))  # fmt: skip
        self.assertEqual("requeued 2\n", self.dead("requeue", "--all"))
        # What was cut can only be dropped.
        self.assertEqual([2], [one["number"] for one in self.letters()["letters"]])
        tail = lambda: self.world.command("tail", "telemetry", "--json", "--config", self.world.gateway_config).stdout  # noqa: E731
        wait_until(lambda: "requeue-0f0e0d0c-17" in tail() and "requeue-0f0e0d0c-30" in tail(), f"both records: {tail()}")
        self.dead("requeue", "1", exit_code=1)
        self.assertEqual("dropped 1\n", self.dead("drop", "2"))
        shelf = self.letters()
        self.assertEqual(([], 3), (shelf["letters"], shelf["taken_out"]))
        self.assertTrue(self.world.uplink.alive())

    def test_wrong_use_changes_nothing(self):
        self.write(letter(1, 17, "a/b", "no table for it", b"first"))
        self.dead("drop", exit_code=2)
        self.dead("drop", "1", "--all", exit_code=2)
        self.dead("list", "--stream", "nothing", exit_code=2)
        self.assertEqual(1, len(self.letters()["letters"]))

    def test_without_an_agent_a_letter_stays(self):
        self.write(letter(1, 17, "a/b", "no table for it", b"first"))
        self.world.agent.kill()
        begin = time.monotonic()
        self.dead("requeue", "1", exit_code=1)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(1, len(self.letters()["letters"]))

    def test_a_torn_letter_costs_itself_alone(self):
        torn = bytearray(letter(2, 18, "a/c", "torn", b"y" * 9000))
        torn[5000] ^= 1
        self.write(letter(1, 17, "a/b", "whole", b"first"), bytes(torn), letter(3, 19, "a/d", "whole", b"third"))
        shelf = self.letters()
        self.assertEqual([1, 3], [one["number"] for one in shelf["letters"]])
        self.assertEqual(3, shelf["damaged_pages"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
