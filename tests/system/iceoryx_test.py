"""iceoryx_test.py --bin DIR [--rounds N]: real publishers and a real RouDi feed lanes by the bridge; each of them is killed.

--rounds: how often RouDi, publishers, bridge and agent are killed each.
"""

import argparse
import json
import os
import pathlib
import signal
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import wait_until  # noqa: E402
from iceoryx_world import IceoryxWorld, Roudi, enter_namespace, number_of, sample  # noqa: E402

ARGUMENTS = None
MAP = '[[iceoryx.map]]\nservice = "Radar"\ninstance = "Front"\nevent = "Object"\ntopic = "radar/front"\n'
SECOND_MAP = MAP.replace("Object", "Echo").replace("radar/front", "radar/echo")
BLOCKING = 'queue_full_policy = "block-producer"\nqueue_capacity = 8\n'


class Stuck(Exception):
    """A publisher that cannot publish: a dead one has left a lock of iceoryx's."""


class Bridge(unittest.TestCase):
    samples = 0

    @classmethod
    def setUpClass(cls):
        cls.roudi = Roudi()
        cls.addClassCleanup(cls.roudi.kill)

    def open_world(self, maps=MAP):
        self.world = IceoryxWorld(ARGUMENTS.bin, maps, self.roudi)
        self.addCleanup(self.world.close)
        return self.world

    def assert_samples(self, records, incarnation, count, topic="radar/front"):
        """Exactly these, bytewise, in order."""
        mine = [payload for of, payload in records if of == topic and number_of(payload)[0] == incarnation]
        self.assertEqual(count, len(mine))
        for number, payload in enumerate(mine):
            self.assertEqual(sample(incarnation, number), payload, f"sample {number} of {incarnation}")

    def test_samples_arrive_whole_and_in_order(self):
        """At full speed where the publisher waits for its consumer; else no more than a queue holds, whatever the machine is busy with."""
        world = self.open_world(MAP + BLOCKING + SECOND_MAP).start()
        front = world.publisher("--count", "20000", "--wait-for-consumer", "--incarnation", "1", "--linger")
        echo = world.publisher("--count", "250", "--rate", "400", "--incarnation", "2", "--event", "Echo", "--linger")
        self.assertEqual(20_000, world.published(front))
        self.assertEqual(250, world.published(echo))
        records = world.wait_records(20_250)
        self.assert_samples(records, 1, 20_000)
        self.assert_samples(records, 2, 250, "radar/echo")
        status = wait_until(lambda: (s := world.status()) and s["maps"][0]["enqueued"] == 20_000 and s, "the count")
        for one in status["maps"]:
            self.assertEqual([0] * 6, [one[key] for key in ("lost", "rejected", "too_large", "empty", "seen_before", "unseen")], one)
        text = world.command("status", "--config", world.config).stdout
        self.assertRegex(text, r"iceoryx +reading.*\n +Radar/\w+/Object -> radar/front: taken 20000, enqueued 20000")
        metrics = world.command("status", "--config", world.config, "--prometheus").stdout
        self.assertRegex(metrics, r'spillway_iceoryx_samples_taken_total{topic="radar/front",service="Radar",.*} 20000')
        second = world.daemon("second", "spillway-iceoryx").start()
        self.assertEqual(2, second.process.wait(30))
        self.assertIn("another spillway-iceoryx", second.log_path.read_text())
        self.assertEqual(0, world.bridge.stop())
        self.assertEqual("stopped", world.status()["state"])

    def test_what_iceoryx_drops_is_counted_exactly(self):
        world = self.open_world(MAP + "queue_capacity = 16\n").start()
        self.assertEqual(100, world.published(world.publisher("--count", "100", "--rate", "1000", "--linger")))
        world.wait_records(100)
        # A reader that stands still while 1,000 samples come; RouDi would take it for dead after 1.5 s.
        tally = world.root / "tally"
        publisher = world.publisher("--count", "1000", "--incarnation", "3", "--rate", "4000", "--tally", str(tally), "--linger")
        wait_until(lambda: tally.exists() and tally.stat().st_size >= 8 and struct.unpack_from("<Q", tally.read_bytes())[0] > 50, "the first samples")
        os.kill(world.reader_pid(), signal.SIGSTOP)
        self.assertEqual(1_000, world.published(publisher))
        os.kill(world.reader_pid(), signal.SIGCONT)
        status = wait_until(lambda: (s := world.map_status()) and s["taken"] + s["lost"] == 1_100 and s, "all to be told of")
        self.assertGreater(status["lost"], 0)
        self.assertEqual(1_100 - status["lost"], status["enqueued"])
        mine = [number_of(p) for _, p in world.wait_records(status["enqueued"]) if number_of(p)[0] == 3]
        self.assertEqual(1_000 - status["lost"], len(mine))
        self.assertEqual(sorted(mine), mine)
        self.assertEqual((3, 999), mine[-1])
        self.assertIn("iceoryx dropped", world.bridge.log_path.read_text())

    def test_a_full_lane_refuses_and_counts(self):
        world = self.open_world(MAP + 'lane_bytes = "16KiB"\n').start()
        # The agent stands still: the lane fills up.
        os.kill(world.agent.process.pid, signal.SIGSTOP)
        world.published(world.publisher("--count", "500", "--rate", "1000", "--linger"))
        status = wait_until(lambda: (s := world.map_status()) and s["taken"] == 500 and s, "all to be taken")
        self.assertEqual(500, status["enqueued"] + status["rejected"])
        self.assertGreater(status["rejected"], 0)
        self.assertEqual(0, status["lost"])
        os.kill(world.agent.process.pid, signal.SIGCONT)
        numbers = []
        for _, payload in world.wait_records(status["enqueued"]):
            numbers.append(number_of(payload)[1])
            self.assertEqual(sample(0, numbers[-1]), payload)
        self.assertEqual(status["enqueued"], len(numbers))
        self.assertEqual(sorted(set(numbers)), numbers)
        lane = wait_until(lambda: json.loads(world.command("status", "--config", world.config, "--json").stdout)["agent"]["lanes"], "")[0]
        self.assertEqual(status["rejected"], lane["rejected"])

    def test_a_blocking_publisher_is_held_up_and_loses_nothing(self):
        world = self.open_world(MAP + 'lane_bytes = "16KiB"\n' + BLOCKING).start()
        os.kill(world.agent.process.pid, signal.SIGSTOP)
        publisher = world.publisher("--count", "3000", "--wait-for-consumer", "--linger")
        wait_until(lambda: (world.map_status().get("held_up") or 0) > 0, "the lane to be full")
        self.assertNotIn("published", publisher.log_path.read_text())
        os.kill(world.agent.process.pid, signal.SIGCONT)
        self.assertEqual(3_000, world.published(publisher))
        self.assert_samples(world.wait_records(3_000), 0, 3_000)
        status = wait_until(lambda: (s := world.map_status()) and s["enqueued"] == 3_000 and s, "the count")
        self.assertEqual((0, 0), (status["rejected"], status["lost"]))

    def test_a_reader_that_stood_still_begins_anew(self):
        world = self.open_world().start()
        reader = world.reader_pid()
        os.kill(reader, signal.SIGSTOP)
        # Longer than RouDi waits for a sign of life. There is nothing else to wait for: it tells nobody.
        time.sleep(2.5)
        os.kill(reader, signal.SIGCONT)
        wait_until(lambda: world.status()["reader_starts"] == 2 and world.status()["state"] == "reading", "a new reader")
        world.published(world.publisher("--count", "300", "--rate", "1000", "--linger"))
        self.assert_samples(world.wait_records(300), 0, 300)

    def test_history_comes_once_to_a_bridge_that_is_late(self):
        world = self.open_world(MAP + "history = 8\n")
        world.roudi.start()
        world.agent.start()
        self.assertEqual(20, world.published(world.publisher("--count", "20", "--history", "8", "--no-wait", "--linger")))
        world.bridge.start()
        records = world.wait_records(8)
        self.assertEqual([sample(0, number) for number in range(12, 20)], [payload for _, payload in records])
        self.assertEqual(12, wait_until(lambda: world.map_status().get("unseen"), "the count"))

    def test_wrong_set_up_is_refused(self):
        for keys, words in ((MAP.replace("Radar", ""), "service must be 1 to 100 bytes"),
                            (MAP + MAP, 'go to "radar/front" already'),
                            (MAP + "history = 17\n", "history must be at most 16"),
                            (MAP + "queue_capacity = 300\n", "queue_capacity must be from 1 to 256"),
                            (MAP + 'queue_full_policy = "drop"\n', "queue_full_policy must be"),
                            (MAP.replace("radar/front", "radar/#"), "topic must be"),
                            ("[iceoryx]\n", "nothing would be bridged"), ("", "nothing to do"),
                            (MAP + f'schema = "{__file__}"\n', None)):  # fmt: skip
            with self.subTest(words):
                world = self.open_world(keys)
                if words is None:
                    world.roudi.start()
                    world.agent.start()
                world.bridge.start()
                self.assertEqual(2, world.bridge.process.wait(30))
                self.assertIn(words or "it is to be a .bfbs file", world.bridge.log_path.read_text())
                world.close()

    def test_everybody_is_killed_and_comes_again(self):
        world = self.open_world()
        world.roudi.kill()
        world.agent.start()
        world.bridge.start()
        wait_until(lambda: "waits for iceoryx's daemon" in world.bridge.log_path.read_text(), "the bridge to say what it waits for")
        world.roudi.start()
        life = 1
        for this_round in range(ARGUMENTS.rounds):
            world.wait_reading(life)
            start = world.next_offset()
            published = self.kill_a_publisher(world, 10 * this_round)
            if not world.roudi.alive():
                # iceoryx's own: a publisher that dies in the wrong instant takes RouDi with it.
                world.roudi.start()
                life += 1
                world.wait_reading(life)
            try:
                self.bring(world, 10 * this_round + 1, meanwhile=(world.agent.kill, world.agent.start))
            except Stuck:
                # iceoryx's own, too: it died holding a lock. The bridge must say so, and go on with the next RouDi.
                wait_until(lambda: "RouDi hangs" in world.bridge.log_path.read_text(), "the bridge to tell")
                self.stuck += 1
                self.begin_anew(world)
                life += 1
                continue
            # What the dead one had published came before; at most the one that it was at is more than it had counted.
            records = world.records(start)
            arrived = sum(number_of(payload)[0] == 10 * this_round for _, payload in records)
            self.assertIn(arrived - published, (0, 1))
            self.assert_samples(records, 10 * this_round, arrived)
            world.bridge.kill()
            world.bridge.start()
            world.wait_reading(1)
            self.bring(world, 10 * this_round + 2)
            self.begin_anew(world)
            life = 2  # of those that this bridge has seen
            self.samples += arrived
        world.wait_reading(life)
        self.bring(world, 10 * ARGUMENTS.rounds)
        if not self.stuck:
            self.assertEqual(self.samples, len(world.records()))
        status = world.map_status()
        self.assertEqual((0, 0, 0), (status["lost"], status["rejected"], status["unseen"]))
        self.assertLess(self.stuck, max(2, ARGUMENTS.rounds // 5))
        print(f"{ARGUMENTS.rounds} rounds, {self.samples} samples, none lost, doubled or out of order; "
              f"{self.stuck} times a publisher's death left iceoryx locked until RouDi's restart")

    stuck = 0

    def begin_anew(self, world):
        for publisher in world.publishers:
            publisher.kill()
        world.publishers.clear()
        world.roudi.kill()
        world.roudi.start()

    def bring(self, world, incarnation, count=250, meanwhile=()):
        start = world.next_offset()
        publisher = world.publisher("--incarnation", incarnation, "--count", count, "--rate", "1000", "--linger")
        for action in meanwhile:
            action()
        try:
            self.assertEqual(count, world.published(publisher, 20))
        except TimeoutError:
            raise Stuck(publisher.log_tail()) from None
        self.assert_samples(world.wait_incarnation(incarnation, count, start), incarnation, count)
        self.samples += count

    def kill_a_publisher(self, world, incarnation):
        """How many it had published when it died."""
        tally = world.root / f"tally-{incarnation}"
        publisher = world.publisher("--incarnation", incarnation, "--rate", "1000", "--tally", tally)
        done = lambda: struct.unpack_from("<Q", tally.read_bytes())[0]  # noqa: E731
        wait_until(lambda: tally.exists() and tally.stat().st_size >= 8 and done() > 200, "the samples")
        publisher.kill()
        return done()

    def test_latency_is_measured(self):
        world = self.open_world().start()
        world.published(world.publisher("--count", "1", "--linger"))
        world.wait_records(1)
        publisher = world.publisher("--count", ARGUMENTS.latency_samples, "--latency-of", world.spill / "all" / "control", "--linger")
        self.assertEqual(ARGUMENTS.latency_samples, world.published(publisher))
        print("from publication to visible in the stream:", publisher.log_path.read_text().splitlines()[-2])
        self.assertEqual(ARGUMENTS.latency_samples + 1, len(world.wait_records(ARGUMENTS.latency_samples + 1)))


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-samples", type=int, default=100)
    ARGUMENTS, rest = parser.parse_known_args()
    enter_namespace(ARGUMENTS.bin)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
