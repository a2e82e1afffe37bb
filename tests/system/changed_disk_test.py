"""changed_disk_test.py --bin DIR: the spill directory is missing, takes no writes, is wiped, mounted over, swapped or restored.

With the agent stopped and under a running one. In each case the agent is up, says what is wrong, and goes on by itself;
no record arrives twice, and what the far end never gets was on the card that is gone.
"""

import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fault_world import FaultTest, main, on_another_machine  # noqa: E402
from harness import wait_until  # noqa: E402


def empty(folder):
    for entry in pathlib.Path(folder).iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


class AtStart(FaultTest):
    def test_read_only(self):
        """What the card holds is delivered all the same; what is new waits in its lanes."""
        self.open_world()
        self.start(linked=False)
        self.finish(self.produce(1_000))
        self.wait_stream(lambda stream: stream["durable_offset"] >= 1_000, "the records")
        self.assertEqual(0, self.world.agent.stop())
        self.disk.remount("ro")
        self.world.agent.start()
        self.wait_spill("waiting")
        self.assertEqual(1, self.metric("spillway_spill_read_only"))
        self.world.uplink.start()
        producer = self.produce(1_000, index=1)
        self.wait_delivered((1, 0))
        wait_until(lambda: self.metric("spillway_uplink_cursor_failed", uplink="cloud") == 1, "the uplink to say so")
        self.finish(producer)
        self.disk.remount("rw")
        self.wait_spill("open")
        self.wait_delivered()
        wait_until(lambda: self.world.acknowledged() == 2_000, "the cursor to be on the card")
        self.assertEqual([], self.gaps())

    def test_missing(self):
        """A link to where a card is mounted later."""
        world = self.open_world(mount=False)
        world.spill_dir.rmdir()
        world.spill_dir.symlink_to(self.folder / "card" / "spill")
        self.start()
        self.wait_spill("waiting")
        self.assertIn("NOT OPEN", self.text())
        self.assertGreater(self.metric("spillway_spill_open_failures_total"), 0)
        self.finish(self.produce(1_000))
        (self.folder / "card" / "spill").mkdir(parents=True)
        self.wait_spill("open")
        self.wait_delivered()
        self.same_agent()

    def test_a_supervisor_has_nothing_to_start_again(self):
        world = self.open_world(mount=False)
        world.spill_dir.rmdir()
        world.spill_dir.symlink_to(self.folder / "card" / "spill")
        run = world.daemon("run", "spillway", "run", "--config", world.gateway_config).start()
        self.addCleanup(run.kill)

        def spill():
            return ((world.status() or {}).get("agent") or {}).get("spill", {})

        wait_until(lambda: spill().get("open_failures", 0) > 2, "some tries to open the spill")
        self.assertNotIn("starts again", run.log_path.read_text())
        (self.folder / "card" / "spill").mkdir(parents=True)
        wait_until(lambda: spill().get("state") == "open", "the spill to be open")
        self.assertEqual(0, run.stop(), run.log_tail())

    def test_full(self):
        """Not even a first start fits."""
        self.open_world(disk_bytes=16 << 20)
        filler = self.world.spill_dir / "somebody-elses"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        self.start()
        self.wait_spill("waiting")
        self.assertIn("No space left", self.text())
        self.finish(self.produce(1_000))
        filler.unlink()
        self.wait_spill("open")
        self.wait_delivered()
        self.same_agent()

    def test_an_unreadable_gateway_file(self):
        self.open_world()
        self.start()
        self.finish(self.produce(500))
        self.wait_delivered()
        self.assertEqual(0, self.world.agent.stop())
        before = self.agent_id()
        (self.world.spill_dir / "gateway").write_bytes(b"\xff" * 100)
        self.world.agent.start()
        wait_until(lambda: self.agent_id() != before, "a new id")
        self.finish(self.produce(500, index=1))
        self.wait_delivered()
        self.assertTrue((self.world.spill_dir / "gateway.damaged").exists())

    def agent_id(self):
        return (self.world.status() or {"agent": {"gateway": {}}})["agent"]["gateway"].get("id")


class WhileStopped(FaultTest):
    def begin(self):
        self.open_world()
        self.start()
        self.finish(self.produce(1_000))
        self.wait_delivered()

    def go_on(self, reason, *but):
        self.world.agent.start()
        wait_until(lambda: self.metric("spillway_stream_journals_total", reason=reason) == 1, f"a journal because of {reason}")
        self.finish(self.produce(1_000, index=2))
        self.wait_delivered(*but)
        self.assertIn("began anew", self.text())

    def test_wiped(self):
        self.begin()
        self.assertEqual(0, self.world.agent.stop())
        empty(self.world.spill_dir)
        self.go_on("wiped")

    def test_restored_from_a_backup(self):
        """Records that came after the backup and were not delivered are an exact gap; none comes twice."""
        self.begin()
        self.assertEqual(0, self.world.agent.stop())
        shutil.copytree(self.world.spill_dir, self.folder / "backup", ignore=shutil.ignore_patterns("lost+found"))
        self.world.link.kill()
        self.world.agent.start()
        self.finish(self.produce(700, index=1))
        self.wait_stream(lambda stream: stream["durable_offset"] >= 1_700, "the records after the backup")
        self.assertEqual(0, self.world.agent.stop())
        empty(self.world.spill_dir)
        shutil.copytree(self.folder / "backup", self.world.spill_dir, dirs_exist_ok=True)
        self.world.link.start()
        self.go_on("records_gone", (1, 0))
        self.assertEqual(set(range(700)), self.missing()[1, 0])
        wait_until(self.gaps, "the gap at the far end")
        self.assertEqual([(1_000, 1_700, "damage")], self.gaps())

    @unittest.skipUnless(os.path.exists("/etc/machine-id"), "needs a machine id")
    def test_another_gateways_card(self):
        self.begin()
        before = self.agent()["gateway"]["id"]
        self.assertEqual(0, self.world.agent.stop())
        text = (self.world.spill_dir / "gateway").read_text()
        empty(self.world.spill_dir)
        # As another machine left it: its file holds that machine's hash.
        foreign = self.foreign_gateway(text)
        self.go_on("wiped")
        after = self.agent()["gateway"]
        self.assertNotIn(after["id"], (before, foreign))
        self.assertEqual(foreign, after["cloned_from"])
        self.assertIn(f"a copy of {foreign}", self.text())
        self.assertEqual(1, self.metric("spillway_gateway_cloned"))

    def foreign_gateway(self, text):
        """Made by a real agent that sees another machine id, on a disk of its own, which is then put in here."""
        other = self.make_disk("other", self.folder / "other")
        config = self.folder / "other.toml"
        queue = self.folder / "other-queue"
        config.write_text(f'[gateway]\nqueue_dir = "{queue}"\nspill_dir = "{other.mount_point}"\n')
        agent = self.world.daemon("other-agent", "spillway-agent", "--config", config)
        agent.command = on_another_machine(self.folder, agent.command)
        agent.start()
        self.addCleanup(agent.kill)
        wait_until(lambda: (queue / "agent.status").exists(), "the other machine's agent")
        self.assertEqual(0, agent.stop())
        found = dict(line.split(" = ") for line in (other.mount_point / "gateway").read_text().splitlines())
        self.assertNotIn(found["id"], text)
        shutil.copy(other.mount_point / "gateway", self.world.spill_dir / "gateway")
        return found["id"]


class UnderARunningAgent(FaultTest):
    def begin(self):
        self.open_world()
        self.start()
        self.finish(self.produce(1_000))
        self.wait_delivered()
        self.id = self.agent()["gateway"]["id"]

    def noticed(self, count=1):
        wait_until(lambda: self.agent()["spill"]["releases"] >= count, "the agent to notice")
        self.wait_spill("open")

    def goes_on(self, index, *but):
        self.finish(self.produce(1_000, index=index))
        self.wait_delivered(*but)
        self.assertEqual(0, self.put("power-safe", "10"))
        self.same_agent()

    def test_wiped(self):
        """It is the same gateway on the same machine; the stream goes on behind what it had counted."""
        self.begin()
        empty(self.world.spill_dir)
        self.noticed()
        self.goes_on(1)
        self.assertEqual(self.id, self.agent()["gateway"]["id"])
        self.assertGreaterEqual(self.stream()["oldest_offset"], 1_000)
        self.assertEqual(1, self.metric("spillway_stream_journals_total", reason="wiped"))

    def test_segments_removed(self):
        self.begin()
        for path in (self.world.spill_dir / "telemetry").glob("*.spill"):
            path.unlink()
        self.noticed()
        self.goes_on(1)

    def test_mounted_over_and_back(self):
        self.begin()
        card = self.make_disk("second", self.world.spill_dir)
        self.noticed()
        self.goes_on(1)
        card.unmount(lazily=True)
        self.noticed(2)
        self.goes_on(2)
        self.assertEqual(self.id, self.agent()["gateway"]["id"])

    def test_card_changed_for_an_empty_one(self):
        self.begin()
        self.disk.unmount(lazily=True)
        wait_until(lambda: "no longer mounted" in self.text(), "the status to say what is missing")
        producer = self.produce(1_000, index=1)
        self.finish(producer)
        self.make_disk("second", self.world.spill_dir)
        self.wait_spill("open")
        self.wait_delivered()
        self.goes_on(2)


if __name__ == "__main__":
    main()
