"""api.py --bin DIR --bench-bin DIR: JSON records over HTTP at process-safe, beside a bare Beast echo of the same bytes.

The API, or the echo, has one core to itself; the agent and the client share the other. Rounds of both take turns, so that a busy
machine harms both alike, and the medians are compared. Exit code 1: fewer than 50,000 records a second, or less than 30 % of the echo.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "system"))
from harness import Daemon, free_port, wait_until  # noqa: E402

TOKEN = "0123456789abcdef0123456789abcdef"
TOPIC = "sensor/boiler"
SCHEMA = "table Reading { sensor:string; at:ulong; celsius:double; ok:bool; } root_type Reading;"
RECORDS_MIN_PER_S = 50_000
RATIO_MIN = 0.30


def batch(count):
    return json.dumps([{"sensor": f"boiler-{n % 7}", "at": 1_764_000_000_000 + n, "celsius": 20.5 + n / 8, "ok": True} for n in range(count)],
                      separators=(",", ":")).encode()  # fmt: skip


def on_core(core, command):
    return ["taskset", "-c", str(core), *map(str, command)] if os.cpu_count() > 1 else list(map(str, command))


def load(options, port, target, body):
    done = subprocess.run(on_core(1, [options.bench_bin / "bench_api", "load", "--port", port, "--target", target, "--token", TOKEN,
                                      "--seconds", options.seconds, "--connections", options.connections]),
                          input=body, capture_output=True, check=False, timeout=120)  # fmt: skip
    if done.returncode != 0 or done.stderr:
        sys.exit(f"the client failed: {done.stderr.decode()}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--bench-bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--batch", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spillway-bench-api-") as folder, \
         tempfile.TemporaryDirectory(prefix="spillway-bench-queue-", dir="/dev/shm") as queue:  # fmt: skip
        root = pathlib.Path(folder)
        tokens = root / "tokens"
        tokens.write_text(f"{TOKEN} # +schema\n")
        tokens.chmod(0o600)
        ports = free_port(), free_port()
        config = root / "spillway.toml"
        config.write_text(
            f'[gateway]\nname = "bench"\nqueue_dir = "{queue}/queue"\nspill_dir = "{root}/spill"\n'
            f'[[stream]]\nname = "all"\ntopics = ["#"]\nsync_interval = "1s"\nmax_bytes = "1GiB"\nsegment_bytes = "32MiB"\n'
            f'[api]\nlisten = "http://127.0.0.1:{ports[0]}"\nsocket = "{root}/api.sock"\ntoken_file = "{tokens}"\nlane_bytes = "16MiB"\n'
            f'schema_dir = "{root}/schemas"\n')
        agent = Daemon("agent", on_core(1, [options.bin / "spillway-agent", "--config", config]), root)
        api = Daemon("api", on_core(0, [options.bin / "spillway-api", "--config", config]), root)
        echo = Daemon("echo", on_core(0, [options.bench_bin / "bench_api", "echo", "--port", ports[1]]), root)
        try:
            agent.start()
            wait_until(lambda: pathlib.Path(queue, "queue", "lanes").is_dir(), "the agent")
            api.start()
            echo.start()
            wait_until(lambda: (root / "api.sock").exists() and "ready" in echo.log_tail(), f"the servers {api.log_tail()}")
            subprocess.run(["curl", "-sS", "--fail-with-body", "-X", "PUT", "-H", f"Authorization: Bearer {TOKEN}", "--data-binary", SCHEMA,
                            f"http://127.0.0.1:{ports[0]}/v1/schemas/{TOPIC}"], check=True, capture_output=True)  # fmt: skip
            return measure(options, ports, batch(options.batch))
        finally:
            for daemon in (api, echo, agent):
                daemon.kill()


def measure(options, ports, body):
    found = {"api": [], "echo": []}
    print(f"{options.batch} JSON records in {len(body)} bytes a request, {options.connections} connections, {options.seconds:g} s a round")
    for number in range(options.rounds):
        for name, port, target in (("echo", ports[1], "/"), ("api", ports[0], f"/v1/topics/{TOPIC}/records?level=process-safe")):
            answer = load(options, port, target, body)
            if answer["failed"]:
                sys.exit(f"{name}: {answer['failed']} requests failed")
            found[name].append(answer["requests_per_s"] * options.batch)
            print(f"round {number + 1}  {name:4}  {found[name][-1]:12,.0f} records/s"
                  + (f"  ({answer['refused']} requests told to come again)" if answer["refused"] else ""), flush=True)
            time.sleep(0.2)  # the agent's backlog of one round is not the next one's
    api, echo = (statistics.median(found[name]) for name in ("api", "echo"))
    ratio = statistics.median(a / e for a, e in zip(found["api"], found["echo"]))
    print(f"\nAPI, process-safe  {api:12,.0f} records/s   (at least {RECORDS_MIN_PER_S:,})")
    print(f"bare Beast echo    {echo:12,.0f} records/s")
    print(f"ratio              {ratio:12.0%}             (at least {RATIO_MIN:.0%})")
    return 0 if api >= RECORDS_MIN_PER_S and ratio >= RATIO_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
