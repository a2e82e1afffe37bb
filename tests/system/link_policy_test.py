"""link_policy_test.py --bin DIR: which link is used, what it may cost, what goes first, and how soon after a link came up.

Real daemons. Where links come and go, the test goes on in a network namespace of its own with veth pairs (needs root; else
those tests are skipped and say why). All times are taken by a clock outside of the product, at the inbox's file.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import World, wait_until  # noqa: E402

ARGUMENTS = None
ENTERED = "SPILLWAY_LINK_POLICY_ENTERED"
# A loaded machine gets this much for what has to happen at once; the figure itself is printed.
AT_ONCE_S = 1.0
OUTAGES = 3
OUTAGE_S = 3.0
BACKOFF = "20s"


def missing_means():
    """Why there can be no namespace of our own; nothing if there can."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    script = "ip link add probe0 type veth peer name probe1"
    probe = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", script], capture_output=True,
                           text=True, check=False)  # fmt: skip
    return None if probe.returncode == 0 else f"no veth pair in a namespace of its own: {probe.stderr.strip()}"


def enter():
    """Goes on as the first process of its own namespaces: what it starts ends with it."""
    if os.environ.get(ENTERED):
        ip("link", "set", "lo", "up")
        return
    os.environ[ENTERED] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                          *sys.argv])  # fmt: skip


def ip(*arguments, pid=None):
    inside = ["nsenter", "-t", str(pid), "-n"] if pid else []
    subprocess.run([*inside, "ip", *arguments], check=True)


class LinkWorld(World):
    """A World whose gateway has two streams, and links as a test wants them."""

    def configure(self, uplink_keys, listen="127.0.0.1", far="127.0.0.1"):
        uplink_keys = uplink_keys.replace("PORT", str(self.consumer_port))
        self.gateway_config.write_text(
            f"""[gateway]
name = "demo/gateway"
queue_dir = "{self.queue_dir}"
spill_dir = "{self.spill_dir}"

[[stream]]
name = "alarms"
topics = ["alarm/#"]
priority = 5

[[stream]]
name = "telemetry"
topics = ["#"]
segment_bytes = "1MiB"

[[uplink]]
name = "cloud"
url = "ws://{far}:{self.consumer_port}"
{uplink_keys}
"""
        )
        self.consumer_config.write_text(
            f'[consumer]\nlisten = "ws://{listen}:{self.consumer_port}"\ninbox = "sqlite:{self.inbox}"\n'
        )

    def put(self, topic, lines):
        text = "".join(f"{line}\n" for line in lines)
        done = self.command("put", topic, "--queue-dir", self.queue_dir, "--input", "lines", "--level", "process-safe",
                            input=text)  # fmt: skip
        assert done.returncode == 0, done.stderr

    def delivered(self, topic):
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(f"file:{self.inbox}?mode=ro", uri=True)) as inbox:
                return inbox.execute("SELECT count(*) FROM record WHERE topic = ?", (topic,)).fetchone()[0]
        return 0

    def uplink_status(self):
        status = self.status() or {}
        return next(iter(status.get("uplinks", [])), {})

    def is_connected_by(self, link):
        status = self.uplink_status()
        return status.get("state") == "connected" and status.get("link") == link

    def wait_delivered(self, topic, count, timeout_s=60):
        wait_until(lambda: self.delivered(topic) >= count, f"{count} records of {topic}", timeout_s, 0.002)
        return time.monotonic()


class Case(unittest.TestCase):
    def world(self, uplink_keys, **options):
        world = LinkWorld(ARGUMENTS.bin)
        self.addCleanup(world.close)
        world.configure(uplink_keys, **options)
        return world

    def start(self, world, *daemons):
        for daemon in daemons:
            daemon.start()
        world.wait_ready()


class WhatALinkMayCost(Case):
    def test_live_data_passes_a_backlog_on_a_link_with_a_limit(self):
        world = self.world('rate_limit = "400kbit/s"\ncompress = "never"')
        self.start(world, world.consumer, world.agent)
        records = 1500  # of 200 bytes each, at 50 kB/s
        world.put("sensor/load", (f"{n:06}" + os.urandom(97).hex() for n in range(records)))
        world.uplink.start()
        began = time.monotonic()
        waits = []
        world.wait_delivered("sensor/load", 1)
        while world.delivered("sensor/load") < records:
            world.put("alarm/fire", [f"alarm {len(waits)}"])
            put = time.monotonic()
            waits.append(world.wait_delivered("alarm/fire", len(waits) + 1) - put)
        took = time.monotonic() - began
        sent = world.uplink_status()["links"][0]["sent_bytes"]
        print(f"{sent} bytes in {took:.1f} s; {len(waits)} alarms waited {1000 * sum(waits) / len(waits):.0f} ms, "
              f"{1000 * max(waits):.0f} ms at most", flush=True)
        self.assertGreater(len(waits), 3, "the backlog was gone before an alarm could wait for it")
        self.assertLess(max(waits), took / 2, "an alarm waited for the backlog")
        self.assertLess(max(waits), 3.0)
        self.assertGreater(sent, records * 200)
        self.assertLess(sent, 50_000 * (took + 1.5), "more than the limit was sent")

    def test_a_budget_is_kept_over_kill_9(self):
        limit = 256 << 10
        world = self.world('budget_per_day = "256KiB"\nreconnect_min = "50ms"')
        self.start(world, world.consumer, world.agent)
        world.put("sensor/load", (os.urandom(100).hex() for _ in range(4000)))
        world.uplink.start()

        def used_up():
            return world.uplink_status().get("state") == "budget used up"

        wait_until(used_up, "the budget's end")
        link = world.uplink_status()["links"][0]
        self.assertGreaterEqual(link["spent_of_day_bytes"], limit)
        self.assertLess(link["spent_of_day_bytes"], 2 * limit)
        self.assertGreater(link["until_utc_ns"], time.time_ns() + 23 * 3600 * 10**9)
        delivered = world.delivered("sensor/load")
        self.assertGreater(delivered, 0)
        self.assertLess(delivered, 4000)
        world.uplink.kill()
        world.uplink.start()
        pid = world.uplink.process.pid
        wait_until(lambda: world.uplink_status().get("pid") == pid and used_up(), "the same after a kill")
        self.assertEqual(delivered, world.delivered("sensor/load"))
        text = world.command("status", "--config", world.gateway_config).stdout
        self.assertIn("budget used up until", text)
        self.assertIn("of 256.0 KiB this day", text)
        # A person who pays more removes the file.
        self.assertEqual(0, world.uplink.stop())
        kept = list(world.spill_dir.glob("*/cursors/cloud.link.budget"))
        self.assertEqual(1, len(kept))
        world.gateway_config.write_text(world.gateway_config.read_text().replace("256KiB", "64MB"))
        kept[0].unlink()
        world.uplink.start()
        world.wait_delivered("sensor/load", 4000)
        self.assertEqual(4000, world.delivered("sensor/load"))

    def test_outside_its_windows_a_link_is_left_alone(self):
        then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=3)
        world = self.world(f'windows = ["{then:%H}:00-{then:%H}:30"]')
        self.start(world, world.consumer, world.agent, world.uplink)
        world.put("sensor/load", ["one"])
        wait_until(lambda: world.uplink_status().get("state") == "outside its windows", "the closed window")
        self.assertEqual(0, world.delivered("sensor/load"))
        opens = world.uplink_status()["until_utc_ns"] / 1e9
        self.assertAlmostEqual(opens, then.replace(minute=0, second=0, microsecond=0).timestamp(), delta=5)


class LinksThatComeAndGo(Case):
    def setUp(self):
        if ARGUMENTS.no_namespace:
            self.skipTest(ARGUMENTS.no_namespace)

    def far_world(self, uplink_keys):
        """The consumer has a namespace of its own; what leads there is made by lead_to()."""
        world = self.world(uplink_keys, listen="0.0.0.0", far="10.99.0.2")
        world.consumer.command = ["unshare", "--net", *world.consumer.command]
        self.start(world, world.consumer, world.agent)
        here = os.readlink("/proc/self/ns/net")
        pid = world.consumer.process.pid
        wait_until(lambda: os.readlink(f"/proc/{pid}/ns/net") != here, "the far namespace")
        return world

    def lead_to(self, world, device, network):
        pid = world.consumer.process.pid
        self.addCleanup(subprocess.run, ["ip", "link", "del", device], check=False, stderr=subprocess.DEVNULL)
        ip("link", "add", device, "type", "veth", "peer", "name", f"{device}far", "netns", str(pid))
        ip("addr", "add", f"{network}.1/24", "dev", device)
        ip("addr", "add", f"{network}.2/24", "dev", f"{device}far", pid=pid)
        ip("link", "set", f"{device}far", "up", pid=pid)

    def test_the_first_record_leaves_as_soon_as_the_link_is_up(self):
        world = self.far_world(f'reconnect_min = "{BACKOFF}"\nreconnect_max = "{BACKOFF}"')
        self.lead_to(world, "wan", "10.99.0")
        ip("link", "set", "wan", "up")
        world.uplink.start()
        world.put("sensor/load", ["first"])
        world.wait_delivered("sensor/load", 1)
        took_ms = []
        for outage in range(OUTAGES):
            ip("link", "set", "wan", "down")
            world.put("sensor/load", ["during the outage"])
            time.sleep(OUTAGE_S)  # the outage itself
            self.assertEqual(outage + 1, world.delivered("sensor/load"))
            up = time.monotonic()
            ip("link", "set", "wan", "up")
            took_ms.append(1000 * (world.wait_delivered("sensor/load", outage + 2) - up))
        print(f"from `ip link set up` to the record in the inbox: {', '.join(f'{ms:.0f}' for ms in took_ms)} ms", flush=True)
        self.assertLess(max(took_ms), 1000 * AT_ONCE_S, world.uplink.log_tail())

    def two_links(self):
        world = self.far_world(
            """[[uplink.link]]
name = "ethernet"
interface = "eth"
url = "ws://10.99.1.2:PORT"
[[uplink.link]]
name = "lte"
interface = "lte"
url = "ws://10.99.2.2:PORT"
budget_per_day = "64MB"
"""
        )
        self.lead_to(world, "eth", "10.99.1")
        self.lead_to(world, "lte", "10.99.2")
        ip("link", "set", "lte", "up")
        return world

    def test_the_better_link_takes_over_when_it_is_there(self):
        world = self.two_links()
        world.uplink.start()
        wait_until(lambda: world.is_connected_by("lte"), "the second link")
        world.put("sensor/load", (f"{n}" for n in range(500)))
        ip("link", "set", "eth", "up")
        wait_until(lambda: world.is_connected_by("ethernet"), "the better link")
        world.put("sensor/load", (f"{n}" for n in range(500)))
        world.wait_delivered("sensor/load", 1000)
        links = {link["name"]: link for link in world.uplink_status()["links"]}
        self.assertEqual("in use", links["ethernet"]["state"])
        self.assertGreater(links["lte"]["spent_of_day_bytes"], 0)
        self.assertEqual(1000, world.delivered("sensor/load"))
        self.assertNotIn("offline", world.uplink.log_tail())

    def test_a_link_that_dies_in_use_is_replaced_by_the_next(self):
        """First without a word, as behind a switch whose own uplink is gone; then with its cable."""
        world = self.two_links()
        far = world.consumer.process.pid
        ip("link", "set", "eth", "up")
        world.uplink.start()
        wait_until(lambda: world.is_connected_by("ethernet"), "the first link")
        count = 0
        for death, rebirth in (
            (lambda: ip("addr", "del", "10.99.1.2/24", "dev", "ethfar", pid=far),
             lambda: ip("addr", "add", "10.99.1.2/24", "dev", "ethfar", pid=far)),
            (lambda: ip("link", "set", "eth", "down"), lambda: ip("link", "set", "eth", "up")),
        ):  # fmt: skip
            died = time.monotonic()
            death()
            world.put("sensor/load", (f"{n}" for n in range(100)))
            count += 100
            took = world.wait_delivered("sensor/load", count) - died
            print(f"from the link's death to the records in the inbox: {took:.1f} s", flush=True)
            wait_until(lambda: world.is_connected_by("lte"), "the second link in the status")
            rebirth()
            wait_until(lambda: world.is_connected_by("ethernet"), "the return to the better link", 90)
        self.assertEqual(count, world.delivered("sensor/load"))


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    ARGUMENTS.no_namespace = missing_means()
    if not ARGUMENTS.no_namespace:
        enter()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
