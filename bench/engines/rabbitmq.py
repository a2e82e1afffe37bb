#!/usr/bin/env python3
"""rabbitmq.py --bin DIR: how fast the RabbitMQ sink drains a backlog, beside a bare publisher with the same guarantees.

Both publish into the same quorum queue of the same broker, in turns: the same library, headers, sizes and window, persistent,
mandatory and confirmed. Only the ratio within a round counts, for machine and broker are shared. The bar is 0.7.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
sys.path.insert(0, str(ROOT / "tests/system/engines"))
from harness import World, wait_until  # noqa: E402
from rabbitmq_server import RabbitmqServer  # noqa: E402

BAR = 0.7
NAME = "bench"
WINDOW = 4096


def make_world(binaries, server, folder):
    world = World(binaries, folder)
    head, _, _ = world.gateway_config.read_text().partition("[[uplink]]")
    world.gateway_config.write_text(f"""{head}[[uplink]]
name = "cloud"
url = "amqp://127.0.0.1:{server.port}"
window_messages = {WINDOW}
[uplink.rabbitmq]
exchange = "{NAME}"
queue = "{NAME}"
""")
    return world


def fill(world, records, size):
    """A backlog of so many records in the spill, while no uplink runs."""
    before = world.control()[0]
    payload = world.root / "payload"
    payload.write_bytes(b"x" * size)
    put = world.command("put", "demo/0", "--file", payload, "--input", "flatbuffer", "--repeat", records, "--queue-dir", world.queue_dir,
                        "--lane-bytes", 16 << 20, "--level", "process-safe", "--timeout", 60)  # fmt: skip
    if put.returncode != 0:
        sys.exit(f"cannot enqueue: {put.stdout}{put.stderr}")
    wait_until(lambda: world.control()[0] == before + records, "the backlog")
    return before + records


def drain(world, end):
    """Records a second, from the first that was confirmed to the last."""
    begun = world.acknowledged()
    world.uplink.start()
    first = wait_until(lambda: (at := world.acknowledged()) > begun and at, f"the first record: {world.uplink.log_tail()}", pause_s=0.002)
    first_s = time.monotonic()
    wait_until(lambda: world.acknowledged() == end, f"the last record: {world.uplink.log_tail()}", 300, pause_s=0.002)
    rate = (end - first) / (time.monotonic() - first_s)
    world.uplink.stop()
    return rate


def publish(binaries, server, records, size):
    out = subprocess.run([binaries / "rabbitmq_bare", str(server.port), NAME, "demo.gateway.telemetry.demo.0",
                          str(records), str(size), str(WINDOW)], check=True, capture_output=True, text=True, timeout=300)  # fmt: skip
    return float(out.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--records", type=int, default=60_000, help="in each round, for each of the two")
    parser.add_argument("--bytes", type=int, default=256, help="a record's size")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder, RabbitmqServer(pathlib.Path(folder) / "broker") as server:
        server.start()
        with make_world(arguments.bin, server, pathlib.Path(folder) / "world") as world:
            if world.command("sink", "setup", "cloud", "--config", world.gateway_config).returncode != 0:
                sys.exit("cannot set the broker up")
            world.agent.start()
            world.wait_ready()
            print(f"{'round':>5}  {'sink':>10}  {'bare loop':>10}  ratio   ({arguments.records} records of {arguments.bytes} bytes, quorum queue)")
            for number in range(1, arguments.rounds + 1):
                end = fill(world, arguments.records, arguments.bytes)
                sink = drain(world, end)
                server.ctl("purge_queue", NAME)
                bare = publish(arguments.bin, server, arguments.records, arguments.bytes)
                server.ctl("purge_queue", NAME)
                ratios.append(sink / bare)
                print(f"{number:>5}  {sink:>8.0f}/s  {bare:>8.0f}/s  {ratios[-1]:.2f}", flush=True)
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.2f} (bar {BAR})")
    sys.exit(0 if ratio >= BAR else 1)


if __name__ == "__main__":
    main()
