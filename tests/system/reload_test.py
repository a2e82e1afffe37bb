"""reload_test.py --bin DIR: at SIGHUP the agent takes over what its configuration says now, and nothing of a broken one."""

import argparse
import json
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None


class Reload(unittest.TestCase):
    def setUp(self):
        self.world = World(ARGUMENTS.bin, segment_bytes="256KiB", max_bytes="8MiB", sync_interval="1h")
        self.addCleanup(self.world.close)
        self.world.agent.start()
        self.world.wait_ready()
        self.put("accepted")

    def put(self, level):
        put = self.world.command("put", "t", "--queue-dir", self.world.queue_dir, "--level", level, "--timeout", "10", input="x\n")
        self.assertEqual(0, put.returncode, put.stderr)

    def stream(self):
        # Not by the command, which would not take a broken file.
        return json.loads((self.world.queue_dir / "agent.status").read_text())["streams"][0]

    def log(self):
        return self.world.agent.log_path.read_text()

    def reload(self, *replacements):
        text = self.world.gateway_config.read_text()
        for old, new in replacements:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.world.gateway_config.write_text(text)
        self.world.agent.process.send_signal(signal.SIGHUP)

    def wait_log(self, words):
        wait_until(lambda: words in self.log(), f"the log to say '{words}': {self.world.agent.log_tail()}")

    def test_what_has_changed_is_taken_over_and_nothing_is_lost(self):
        self.put("power-safe")
        before = self.stream()
        self.reload(('max_bytes = "8MiB"', 'max_bytes = "4MiB"\nmax_age = "2h"'), ('"1h"', '"20ms"'), ('segment_bytes = "256KiB"', 'segment_bytes = "128KiB"'))
        wait_until(lambda: self.stream()["max_bytes"] == 4 << 20, f"the new quota: {self.world.agent.log_tail()}")
        self.put("process-safe")
        # Nobody asks for it: by the new interval alone.
        wait_until(lambda: self.stream()["durable_offset"] == self.stream()["next_offset"] == 3, "power-safe by itself")
        after = self.stream()
        self.assertEqual((before["journal"], 0), (after["journal"], after["gaps"]))
        self.assertEqual(0, self.world.agent.stop(), self.world.agent.log_tail())
        self.assertEqual(0, self.world.command("verify", self.world.spill_dir).returncode)

    def test_a_broken_file_changes_nothing_and_is_named_with_its_line(self):
        good = self.world.gateway_config.read_text()
        self.reload(('max_bytes = "8MiB"', 'max_bytes = "8 apples"'))
        self.wait_log("the configuration stays as it was")
        self.assertIn("gateway.toml:", self.log())
        self.assertEqual(8 << 20, self.stream()["max_bytes"])
        self.put("power-safe")
        self.world.gateway_config.write_text(good)
        self.reload()
        self.wait_log("nothing has changed")

    def test_what_needs_a_restart_is_named(self):
        self.reload(('name = "demo/gateway"', 'name = "demo/other"\nnap = "7ms"'))
        self.wait_log("[gateway] name has changed")
        self.wait_log("[gateway] nap has changed")
        self.reload(('[[uplink]]', '[[stream]]\nname = "more"\ntopics = ["more"]\n\n[[uplink]]'))
        self.wait_log("the list of [[stream]] has changed")
        self.put("power-safe")
        self.assertEqual(1, self.world.agent.starts)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
