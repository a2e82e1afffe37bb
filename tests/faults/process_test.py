"""process_test.py --agent A --producer P [--i386 P32] --every-call C --header H [--stop-seconds S]: death, and what only looks like it.

Real producers, a real agent. What each lane and record says is judged from outside, as in gateway.py.
"""

import argparse
import contextlib
import fcntl
import os
import pathlib
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import unittest

from gateway import LANE_GONE_S, RESULT, WATCHDOG_S, Gateway, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
from hostile_queue_test import DATA_AT, forge_header, forge_lane, frame  # noqa: E402

OPTIONS = None
F_OFD_SETLK = 37
NOBODY = 65534
PID_AT = 80  # in a lane's header: docs/format.md
PUT_SOME = ("single:60", "large:20")
TEN = 10


def kill_and_reap(producer):
    producer.process.kill()
    producer.process.wait()


class Processes(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway(OPTIONS.agent, OPTIONS.producer)
        self.addCleanup(self.gateway.close)
        self.gateway.start_agent()
        self.gateway.agent_ready()

    def held_producer(self, topic, *phases, **more):
        """A producer that has done as told, and lives on."""
        producer = self.gateway.start_producer(topic, *phases, "flush", "hold", **more)
        asleep = pathlib.Path(f"/proc/{producer.process.pid}/wchan")
        wait_for(lambda: producer.tally()[1] and "pipe" in asleep.read_text(), "the producer to hold")
        return producer

    def finish(self):
        self.gateway.wait_for_lanes_gone("a dead producer's lane was gone after")
        self.gateway.stop_agent()
        return self.gateway.judge()

    def test_a_lane_that_has_killed_three_agents_is_set_aside_by_the_fourth(self):
        gateway = self.gateway
        gateway.stop_agent()
        deadly = gateway.start_producer("deadly", "single:5", "hold")
        wait_for(gateway.lanes, "the lane")
        dies = {"SPILLWAY_STEP_KILL": "drain.resumed:1"}
        for _ in range(3):
            self.assertEqual(-signal.SIGKILL, gateway.start_agent(dies).wait(WATCHDOG_S), gateway.log())
            self.assertEqual(1, len(gateway.lanes()), "it is given three chances")
        agent = gateway.start_agent(dies)
        gateway.agent_ready()
        self.assertIsNone(agent.poll(), gateway.log())
        self.assertIn("three agents in a row", gateway.log())
        self.assertEqual(1, len(os.listdir(gateway.queue / "quarantine")))
        kill_and_reap(deadly)
        gateway.producers.clear()  # its records are in quarantine, with it
        gateway.stop_agent()
        # And who comes next is drained as ever.
        gateway.start_agent()
        gateway.start_producer("harmless", *PUT_SOME, "flush", "close").ended_well()
        self.finish()

    def test_a_stopped_producer_is_not_dead(self):
        producer = self.gateway.start_producer("stop", "large:100000")
        wait_for(lambda: producer.tally()[1] > 100, "some records")
        producer.process.send_signal(signal.SIGSTOP)
        ends = time.monotonic() + OPTIONS.stop_seconds
        while time.monotonic() < ends:  # the time that is being tested, not a wait for something
            self.assertEqual(1, len(self.gateway.lanes()), "its lane was taken from a stopped producer")
            time.sleep(0.05)
        before = producer.tally()[1]
        producer.process.send_signal(signal.SIGCONT)
        wait_for(lambda: producer.tally()[1] > before + 100, "the producer to go on")
        kill_and_reap(producer)
        self.finish()

    def test_a_killed_producers_lane_is_drained_and_gone_within_two_seconds(self):
        for round_number in range(5):
            producer = self.gateway.start_producer(f"dead/{round_number}", "large:100000")
            wait_for(lambda: producer.tally()[1] > 50, "some records")
            # Asleep, the agent leaves the lane full: what is measured is the whole of it, and not the last frame.
            self.gateway.agent.send_signal(signal.SIGSTOP)
            wait_for(lambda: producer.tally()[0] > producer.tally()[1], "the lane to be full")
            kill_and_reap(producer)
            self.gateway.agent.send_signal(signal.SIGCONT)
            self.gateway.wait_for_lanes_gone("a dead producer's full lane was gone after")
        self.assertGreater(self.finish(), 250)

    def test_a_pid_that_lives_on_in_another_process_keeps_no_lane(self):
        # Without a /proc of its own, which not every root directory lets one mount: ns_last_pid is the reader's anyway.
        apart = ["unshare", "--pid", "--fork"]
        probe = subprocess.run([*apart, "true"], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            self.skipTest(f"needs the right to make a namespace of processes: {probe.stderr.strip()}")
        inside = subprocess.run([*apart, sys.executable, __file__, *sys.argv[1:], "--inside"], check=False)
        if inside.returncode == 77:
            self.skipTest("needs the right to choose the next process's number")
        self.assertEqual(0, inside.returncode)

    def test_a_pid_that_lives_no_more_costs_no_lane(self):
        with subprocess.Popen(["true"]) as ended:
            pass
        name = "0000000000000001-0000000000000001.lane"
        forged = self.forged(name, topic=b"forged", pid=ended.pid)
        ends = time.monotonic() + 2 * LANE_GONE_S
        while time.monotonic() < ends:  # the time that is being tested
            self.assertEqual([name], self.gateway.lanes(), "a living producer's lane was taken")
            time.sleep(0.05)
        forged.close()
        self.gateway.wait_for_lanes_gone()

    def forged(self, name, **identity):
        """A lane of a living producer that says of itself what it likes, and belongs to nobody."""
        path = self.gateway.queue / "lanes" / name
        draft = path.with_suffix(".draft")
        draft.write_bytes(forge_lane(forge_header(random.Random(name), **identity), frame(b"forged")))
        if os.geteuid() == 0:
            os.chown(draft, NOBODY, NOBODY)
        file = open(draft, "r+b")
        self.addCleanup(file.close)
        fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        draft.rename(path)
        return file

    def test_another_users_lane_of_the_same_name_holds_up_nobody(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to give a file away")
        # Older by what it says, of the honest producer's name and topic, and never at its end.
        forged = self.forged("0000000000000001-0000000000000002.lane", topic=b"honest", producer=b"fault", created=1)
        honest = self.gateway.start_producer("honest", "single:20", "flush", "close")
        wait_for(lambda: honest.process.poll() is not None, "the honest producer to be process-safe", LANE_GONE_S)
        honest.ended_well()
        forged.close()
        self.gateway.wait_for_lanes_gone()

    def test_a_fork_at_any_moment_keeps_no_dead_producers_lane(self):
        steps = ("lane_file.made", "lane_file.locked", "lane_file.named", "ring.header_written", "ring.terminated", "ring.published",
                 "batch.terminated", "producer.waiting")  # fmt: skip
        for step in steps:
            with self.subTest(step):
                producer = self.held_producer(f"fork/{step}", "single:60", "batch:5", "power", "large:20",
                                              environment={"SPILLWAY_STEP_FORK": f"{step}:1"})  # fmt: skip
                kill_and_reap(producer)
                try:
                    self.gateway.wait_for_lanes_gone("a forked producer's lane was gone after")
                finally:
                    producer.process.stdin.close()  # the child ends here, not before
        self.finish()

    def test_a_fork_while_a_producer_closes_keeps_no_lane(self):
        for step in ("producer.closing", "lane_file.unmapped"):
            with self.subTest(step):
                producer = self.gateway.start_producer(f"close/{step}", "single:60", "close", "hold",
                                                       environment={"SPILLWAY_STEP_FORK": f"{step}:1"})  # fmt: skip
                wait_for(lambda: producer.tally()[1] == 60, "the records")  # noqa: B023
                try:
                    self.gateway.wait_for_lanes_gone("a closed producer's lane was gone after")
                finally:
                    producer.process.stdin.close()
                    producer.process.wait()
        self.finish()

    def test_a_limit_on_file_sizes_is_an_error_at_open(self):
        command = [OPTIONS.producer, self.gateway.queue, "limited", "fault", "1", self.gateway.root / "limited.tally", "single:1"]
        limit = (DATA_AT, DATA_AT)  # the kernel's answer to more is a signal that kills
        result = subprocess.run(command, check=False, capture_output=True, text=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))  # fmt: skip
        self.assertEqual(3, result.returncode, result.stderr)
        self.assertIn("open", result.stderr)
        self.assertEqual([], self.gateway.lanes())

    def test_ten_producers_at_once(self):
        producers = [self.gateway.start_producer(f"ten/{i}", "single:400", "batch:40", "large:200", "power", "single:400", "flush")
                     for i in range(TEN)]  # fmt: skip
        for producer in producers:
            producer.ended_well()
        self.assertEqual(TEN * (400 + 5 * 40 + 200 + 400), self.finish())

    def test_ten_producers_killed_at_any_moment(self):
        chance = random.Random(OPTIONS.seed)
        for round_number in range(4):
            producers = [self.gateway.start_producer(f"ten/{i}", "single:100000", incarnation=round_number + 1) for i in range(TEN)]
            wait_for(lambda: all(producer.tally()[1] for producer in producers), "each to have put something")  # noqa: B023
            for producer in producers:
                time.sleep(chance.uniform(0, 0.02))  # the moment of death, by chance
                kill_and_reap(producer)
        self.finish()

    def test_32_and_64_bit_processes_share_one_queue(self):
        if OPTIONS.i386 is None:
            self.skipTest("needs g++-i686-linux-gnu")
        self.assertEqual(b"\x7fELF\x01", OPTIONS.i386.read_bytes()[:5], "not a 32-bit program")
        everything = ("single:400", "batch:40", "large:200", "refused", "dropped", "power", "single:100", "flush", "close")
        # One (producer, topic) from both, one after the other, and both at once beside it.
        producers = [self.gateway.start_producer(f"both/{i}", *everything, program=OPTIONS.i386 if i % 2 else None) for i in range(4)]
        for program in (OPTIONS.i386, None, OPTIONS.i386):
            self.gateway.start_producer("both/in-turn", *everything, program=program).ended_well()
        for producer in producers:
            producer.ended_well()
        killed = self.gateway.start_producer("both/killed", "large:100000", program=OPTIONS.i386)
        wait_for(lambda: killed.tally()[1] > 50, "some records")
        kill_and_reap(killed)
        self.assertGreater(self.finish(), 7 * 900)

    def test_a_c99_program_uses_every_function(self):
        called = OPTIONS.every_call_source.read_text()
        declared = re.findall(r"SPILLWAY_EXPORT[^;(]*?(spillway_\w+)\(", OPTIONS.header.read_text())
        self.assertGreater(len(declared), 10)
        self.assertEqual([], [name for name in declared if name + "(" not in called], "functions that every_call.c leaves out")
        result = subprocess.run([OPTIONS.every_call, self.gateway.queue, self.gateway.spill, "all", "c99/every/call"],
                                capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
        self.assertEqual((0, "read 207 records back\n"), (result.returncode, result.stdout), result.stderr + self.gateway.log())


def reuse_a_pid():
    """In a namespace of processes of its own, where it chooses who gets which number."""
    with Gateway(OPTIONS.agent, OPTIONS.producer) as gateway:
        gateway.start_agent()
        gateway.agent_ready()
        producer = gateway.start_producer("reused", *PUT_SOME, "large:100000")
        wait_for(lambda: producer.tally()[1] > 80, "some records")
        gateway.agent.send_signal(signal.SIGSTOP)  # it is not to see the moment in which nobody has the number
        pid = producer.process.pid
        stated = struct.unpack_from("<I", (gateway.queue / "lanes" / gateway.lanes()[0]).read_bytes(), PID_AT)[0]
        assert stated == pid, f"the lane says {stated}, the producer is {pid}"
        kill_and_reap(producer)
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        with subprocess.Popen(["sleep", "60"]) as other:
            with contextlib.ExitStack() as stack:
                stack.callback(other.kill)
                assert other.pid == pid, f"the other process got {other.pid}, not {pid}"
                gateway.agent.send_signal(signal.SIGCONT)
                gateway.wait_for_lanes_gone("a dead producer's lane, whose pid lives on, was gone after")
                assert other.poll() is None
        gateway.stop_agent()
        gateway.judge()
    return 0


def inside():
    try:
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(os.getpid()))
    except OSError:
        return 77
    return reuse_a_pid()


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("agent", "producer", "i386", "every-call", "every-call-source", "header"):
        parser.add_argument(f"--{name}", type=pathlib.Path)
    parser.add_argument("--stop-seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inside", action="store_true", help="already in a namespace of processes of its own")
    OPTIONS, rest = parser.parse_known_args()
    if OPTIONS.inside:
        return inside()
    program = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False)
    for what, seconds in RESULT.items():
        print(f"  {what} {seconds:.3f} s at most")
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
