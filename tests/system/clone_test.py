"""clone_test.py --bin DIR: a gateway's card is copied, and both machines run against one consumer.

On a machine with another id the copy takes an id of its own, and notes whose copy it is. Where the machines' ids are the same
(containers of one image), the newer of two sessions fences the older. Either way nothing is lost, and nothing comes twice
under one identity.
"""

import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fault_world import FaultTest, FaultWorld, on_another_machine  # noqa: E402
import fault_world  # noqa: E402
from harness import wait_until  # noqa: E402

HELD, AFTER = 1_500, 1_000


class Clones(FaultTest):
    def begin(self):
        """The original has delivered some, holds some that it has not, and was copied when it was off."""
        self.open_world()
        self.start()
        self.finish(self.produce(1_000))
        self.wait_delivered()
        self.world.link.kill()
        self.finish(self.produce(HELD, index=1))
        self.wait_stream(lambda stream: stream["durable_offset"] >= 1_000 + HELD, "the records that are held")
        self.assertEqual(0, self.world.agent.stop())
        self.assertEqual(0, self.world.uplink.stop())
        self.copy = FaultWorld(fault_world.ARGUMENTS.bin)
        self.addCleanup(self.copy.close)
        shutil.copytree(self.world.spill_dir, self.copy.spill_dir, ignore=shutil.ignore_patterns("lost+found"))
        text = self.copy.gateway_config.read_text()
        self.copy.gateway_config.write_text(text.replace(f":{self.copy.link_port}", f":{self.world.link_port}"))

    def run_both(self):
        for world in (self.world, self.copy):
            world.agent.start()
            world.wait_ready()
        self.world.link.start()
        self.world.uplink.start()
        self.copy.uplink.start()
        mine, other = self.produce(AFTER, index=2), self.produce_in_copy()
        self.finish(mine)
        self.finish(other)

    def produce_in_copy(self):
        producer = self.copy.producer(3, 0, 4000, "8MiB", 256)
        producer.command += ["--count", str(AFTER), "--tally", str(self.world.tallies / "3.0")]
        self.counts[3, 0] = AFTER
        return producer.start()

    def gateway_of(self, world):
        return wait_until(world.status, "a status")["agent"]["gateway"]

    def metric_of(self, world, name, **labels):
        self.world, kept = world, self.world
        try:
            return self.metric(name, **labels)
        finally:
            self.world = kept

    @unittest.skipUnless(os.path.exists("/etc/machine-id"), "needs a machine id")
    def test_on_another_machine_it_takes_an_id_of_its_own(self):
        self.begin()
        self.copy.agent.command = on_another_machine(self.folder, self.copy.agent.command)
        self.run_both()
        self.wait_delivered()
        original, copy = self.gateway_of(self.world), self.gateway_of(self.copy)
        self.assertNotEqual(original["id"], copy["id"])
        self.assertEqual(original["id"], copy["cloned_from"])
        self.assertNotIn("cloned_from", original)
        self.assertEqual(1, self.metric_of(self.copy, "spillway_gateway_cloned"))
        self.assertEqual(0, self.metric_of(self.world, "spillway_gateway_cloned"))
        # Both held the same records; each delivers them as its own.
        wait_until(lambda: all(HELD == len(self.delivered()[gateway["id"]][1, 0]) for gateway in (original, copy)), "both", 20)
        self.assertEqual(AFTER, len(self.delivered()[copy["id"]][3, 0]))
        self.assertEqual(0, self.metric_of(self.world, "spillway_uplink_fenced_total", uplink="cloud"))

    def test_with_the_same_machine_id_the_newer_session_fences_the_older(self):
        self.begin()
        self.run_both()
        self.wait_delivered()
        self.assertEqual(self.gateway_of(self.world)["id"], self.gateway_of(self.copy)["id"])
        fenced = lambda world: self.metric_of(world, "spillway_uplink_fenced_total", uplink="cloud")  # noqa: E731
        wait_until(lambda: fenced(self.world) + fenced(self.copy) > 1, "the fencing to be counted")
        texts = self.world.command("status", "--config", self.world.gateway_config).stdout
        texts += self.world.command("status", "--config", self.copy.gateway_config).stdout
        self.assertIn("FENCED", texts)


if __name__ == "__main__":
    fault_world.main()
