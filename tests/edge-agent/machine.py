"""What the command's tests share: one gateway in a directory of its own, and its programs."""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

BIN = None


def main():
    global BIN
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    options, rest = parser.parse_known_args()
    BIN = options.bin.resolve()
    unittest.main(module="__main__", argv=[sys.argv[0], *rest], verbosity=2)


def wait_for(what, seconds=20.0):
    """Polls what() until it is true; fails after a watchdog's time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain")


class Machine(unittest.TestCase):
    """A test with a configured gateway."""

    streams = '[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "20ms"\n'

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillway-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.queue = self.root / "queue"
        self.spill = self.root / "spill"
        self.config = self.root / "spillway.toml"
        self.write_config(self.streams)

    def write_config(self, rest):
        self.config.write_text(
            f'[gateway]\nname = "test"\nqueue_dir = "{self.queue}"\nspill_dir = "{self.spill}"\n{rest}'
        )

    def run_program(self, *arguments, program="spillway", text=None, timeout=60):
        return subprocess.run(
            [BIN / program, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start_agent(self):
        log = open(self.root / "agent.log", "a", encoding="utf-8")
        agent = subprocess.Popen([BIN / "spillway-agent", "--config", self.config], stderr=log)
        log.close()
        self.addCleanup(self.end, agent)
        wait_for(lambda: self.is_running() or agent.poll() is not None)
        self.assertIsNone(agent.poll(), (self.root / "agent.log").read_text())
        return agent

    def is_running(self):
        return self.run_program("status", "--config", self.config).returncode == 0

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def put(self, topic, lines, *more):
        text = "".join(f"{line}\n" for line in lines)
        return self.run_program("put", topic, "--queue-dir", self.queue, *more, text=text)

    def assert_one_line(self, result, exit_code, *words):
        """One clear line on standard error beside what a log calls information, and the exit code."""
        self.assertEqual(result.returncode, exit_code, result.stderr)
        lines = [line for line in result.stderr.strip().splitlines() if "] info: " not in line]
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(str(word), lines[0])
