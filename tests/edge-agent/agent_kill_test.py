"""The agent is killed -9 again and again while producers put; the spill must hold exactly what they put."""

import collections
import json
import random
import signal
import subprocess
import time

import machine
from machine import Machine, wait_for

KILLS = 30
PRODUCERS = 3
RECORDS = 36_000
RATE = 2_000


class AgentKilled(Machine):
    def test_loses_doubles_and_reorders_nothing(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        print("seed", seed)
        agent = self.start_agent()
        numbers = "".join(f"{number}\n" for number in range(RECORDS))
        source = self.root / "numbers"
        source.write_text(numbers)
        producers = [
            subprocess.Popen(
                [machine.BIN / "spillway", "put", f"t/{index}", "--file", source, "--rate", str(RATE),
                 "--queue-dir", self.queue, "--name", f"p{index}", "--timeout", "60", "--level", "process-safe"],
                stdout=subprocess.PIPE, text=True)
            for index in range(PRODUCERS)
        ]
        for producer in producers:
            self.addCleanup(self.end, producer)
        kills = 0
        while kills < KILLS and any(producer.poll() is None for producer in producers):
            time.sleep(chance.uniform(0.0, 0.15))
            agent.send_signal(signal.SIGKILL)
            agent.wait()
            kills += 1
            agent = self.start_agent()
        for producer in producers:
            out, _ = producer.communicate(timeout=120)
            self.assertEqual(out, f"accepted {RECORDS}, process-safe {RECORDS}\n")
        self.assertGreaterEqual(kills, KILLS // 2, "the producers ended too soon for the test to mean anything")
        tail = self.run_program("tail", "all", "--config", self.config, "--json", timeout=120)
        self.assertEqual(tail.returncode, 0, tail.stderr)
        found = collections.defaultdict(list)
        for expected, line in enumerate(tail.stdout.splitlines()):
            record = json.loads(line)
            self.assertNotIn("gap", record)
            self.assertEqual(record["offset"], expected)
            found[record["producer"]].append(int(record["record"]["text"]))
        for index in range(PRODUCERS):
            self.assertEqual(found[f"p{index}"], list(range(RECORDS)), f"producer {index}")
        # The producers are gone: their lanes go, too.
        wait_for(lambda: not list((self.queue / "lanes").iterdir()))
        verify = self.run_program("verify", self.spill)
        self.assertEqual(verify.returncode, 0, verify.stdout)


if __name__ == "__main__":
    machine.main()
