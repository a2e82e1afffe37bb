"""A sink that drains a backlog, and a bare publisher with the same guarantees, in turns against one broker.

Both use the same library, headers, sizes and window. Only the ratio within a round counts, for machine and broker are shared;
the bar is 0.7 for the median of the rounds.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/system"), str(ROOT / "tests/system/engines")]
from harness import World, wait_until  # noqa: E402

BAR = 0.7


def options(description, window, records=60_000):
    """The command line that these benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--records", type=int, default=records, help="in each round, for each of the two")
    parser.add_argument("--bytes", type=int, default=256, help="a record's size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=int, default=window, help="messages on their way")
    return parser.parse_args()


class SideBySide:
    """`url` and `tables` are the uplink's. `bare` is the program's name and its arguments before MESSAGES BYTES WINDOW; `purge`
    makes the engine forget what it has, between the two. Some engines have nothing to set up."""

    def __init__(self, arguments, folder, url, tables, bare, purge=lambda: None, needs_setup=True):
        self.arguments, self.bare, self.purge, self.needs_setup = arguments, bare, purge, needs_setup
        self.world = World(arguments.bin, pathlib.Path(folder) / "world")
        head, _, _ = self.world.gateway_config.read_text().partition("[[uplink]]")
        uplink = f'[[uplink]]\nname = "cloud"\nurl = "{url}"\nwindow_messages = {arguments.window}\n{tables}\n'
        self.world.gateway_config.write_text(head + uplink)

    def run(self, title):
        """The exit code: 0 if the bar holds."""
        arguments, ratios = self.arguments, []
        with self.world as world:
            if self.needs_setup and world.command("sink", "setup", "cloud", "--config", world.gateway_config).returncode != 0:
                sys.exit("cannot set the broker up")
            world.agent.start()
            world.wait_ready()
            print(f"{'round':>5}  {'sink':>10}  {'bare loop':>10}  ratio   ({arguments.records} records of {arguments.bytes} bytes, {title})")
            for number in range(1, arguments.rounds + 1):
                end = self._fill()
                sink = self._drain(end)
                self.purge()
                bare = self._publish()
                self.purge()
                ratios.append(sink / bare)
                print(f"{number:>5}  {sink:>8.0f}/s  {bare:>8.0f}/s  {ratios[-1]:.2f}", flush=True)
        ratio = statistics.median(ratios)
        print(f"median ratio {ratio:.2f} (bar {BAR})")
        return 0 if ratio >= BAR else 1

    def _fill(self):
        """A backlog in the spill, while no uplink runs; where it ends."""
        world, records = self.world, self.arguments.records
        before = world.control()[0]
        payload = world.root / "payload"
        payload.write_bytes(b"x" * self.arguments.bytes)
        put = world.command("put", "demo/0", "--file", payload, "--input", "flatbuffer", "--repeat", records, "--queue-dir", world.queue_dir,
                            "--lane-bytes", 16 << 20, "--level", "process-safe", "--timeout", 60)  # fmt: skip
        if put.returncode != 0:
            sys.exit(f"cannot enqueue: {put.stdout}{put.stderr}")
        wait_until(lambda: world.control()[0] == before + records, "the backlog")
        return before + records

    def _drain(self, end):
        """Records a second, from the first that was confirmed to the last."""
        world = self.world
        begun = world.acknowledged()
        world.uplink.start()
        first = wait_until(lambda: (at := world.acknowledged()) > begun and at, f"the first record: {world.uplink.log_tail()}",
                           pause_s=0.002)  # fmt: skip
        first_s = time.monotonic()
        wait_until(lambda: world.acknowledged() == end, f"the last record: {world.uplink.log_tail()}", 300, pause_s=0.002)
        rate = (end - first) / (time.monotonic() - first_s)
        world.uplink.stop()
        return rate

    def _publish(self):
        program, *where = self.bare
        arguments = self.arguments
        command = [arguments.bin / program, *where, arguments.records, arguments.bytes, arguments.window]
        return float(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=300).stdout)
