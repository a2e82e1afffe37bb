"""compression_test.py --bin DIR [--rate R] [--seconds S]: a compressed backlog of the system sensor is a quarter of the plain one.

Two real sensors, one agent, two streams with the same configuration but for `compress`; what is compared is how far each
stream's segments are filled, block headers, filling, clock blocks and the pages that syncs leave behind included. Every
record is read back, by `spillway tail` and by a script that was written from docs/format.md.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent / "format_script"))
import read_segments  # noqa: E402
from harness import Daemon, wait_until  # noqa: E402

SMALLER_MIN = 4.0

CONFIG = """
[gateway]
queue_dir = "{root}/queue"
spill_dir = "{root}/spill"
[[stream]]
name = "plain"
topics = ["plain/#"]
compress = "never"
sync_interval = "{sync_interval}"
[[stream]]
name = "small"
topics = ["small/#"]
compress = "always"
sync_interval = "{sync_interval}"
"""


def run(arguments, root):
    binaries = pathlib.Path(arguments.bin)
    config = root / "spillway.toml"
    config.write_text(CONFIG.format(root=root, sync_interval=arguments.sync_interval))
    (root / "queue").mkdir()
    agent = Daemon("agent", [binaries / "spillway-agent", "--config", config], root).start()
    try:
        wait_until(lambda: (root / "queue/agent.status").exists(), "the agent's start")
        sensors = [subprocess.Popen([str(binaries / "spillway-sensor"), "--queue-dir", str(root / "queue"), "--topic-prefix", name,
                                     "--rate", str(arguments.rate), "--seconds", str(arguments.seconds), "--json"],
                                    stdout=subprocess.PIPE, text=True)
                   for name in ("plain", "small")]  # fmt: skip
        told = [json.loads(sensor.communicate(timeout=arguments.seconds + 60)[0]) for sensor in sensors]
    finally:
        code = agent.stop()
    assert code == 0, agent.log_tail()
    status = json.loads((root / "queue/agent.status").read_text())["streams"]
    verified = subprocess.run([binaries / "spillway", "verify", root / "spill", "--json"], capture_output=True, text=True, check=True)
    used = {}
    for stream in json.loads(verified.stdout)["streams"]:
        # Behind the segment's header: two segments of one size have the same.
        used[pathlib.Path(stream["directory"]).name] = sum(segment["used_bytes"] - 4096 for segment in stream["segments"])
    for name, sensor in zip(("plain", "small"), told):
        tail = subprocess.run([binaries / "spillway", "tail", name, "--json", "--config", config], capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in tail.stdout.splitlines()]
        assert len(lines) == sensor["enqueued"], f"{name}: {sensor} enqueued, {len(lines)} read back"
        assert all("gap" not in line for line in lines), f"{name}: a gap"
        scripted = sum(1 for _ in read_segments.records(root / "spill" / name))
        assert scripted == sensor["enqueued"], f"{name}: the script reads {scripted}"
    return used, {stream["name"]: stream for stream in status}, told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--sync-interval", default="1s")
    parser.add_argument("--judge", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        used, status, told = run(arguments, pathlib.Path(folder))
    small = status["small"]
    smaller = used["plain"] / used["small"]
    print(f"{told[1]['enqueued']} records at {arguments.rate:g}/s, synced each {arguments.sync_interval}: plain {used['plain']:,} bytes, "
          f"compressed {used['small']:,}: {smaller:.2f} times smaller; frames alone "
          f"{small['appended_raw_bytes'] / small['appended_stored_bytes']:.2f} times; {small['compressed_blocks']} compressed blocks, "
          f"{small['dictionaries']} dictionaries")  # fmt: skip
    if not arguments.judge:
        return 0
    assert small["dictionaries"] == 1, "no dictionary was trained"
    return 0 if smaller >= SMALLER_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
