#!/usr/bin/env python3
"""Many mixed changes in a SQLite database, by several writers, with kill -9 of the capture and the agent at random: what was
captured, replayed, is the database; nothing is doubled; order and transactions hold.

sqlite_test.py --bin DIR [--changes 10000] [--seed N]
"""

import argparse
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from capture_world import CaptureWorld, wait_until  # noqa: E402
from captured import Replica  # noqa: E402
from sqlite_writers import TABLES, connect, contents, make  # noqa: E402

from harness import random_source  # noqa: E402

WRITERS = 3


def differences(replica, source):
    for table, rows in source.items():
        mine = replica.tables[table]
        for key in sorted(set(rows) | set(mine), key=repr):
            if not same(rows.get(key), mine.get(key)):
                yield f"{table} {key!r}: the source has {rows.get(key)!r}, the replica {mine.get(key)!r}"


def same(a, b):
    return a is not None and b is not None and a.keys() == b.keys() and all(
        type(a[name]) is type(b[name]) and (a[name] == b[name]) for name in a)


def drained(world, database):
    """The outbox is empty but for its last mark, and the capture has said that all is confirmed."""
    with_rows = database.execute('SELECT count(*) FROM "spillway_shop_outbox" WHERE op < 100').fetchone()[0]
    pending = database.execute('SELECT count(*) FROM "spillway_shop_snapshot"').fetchone()[0]
    return with_rows == 0 and pending == 0


def compare(world, path):
    captured = world.captured()
    replica = Replica()
    for change in captured.in_source_order():
        replica.apply(change)
    wrong = list(differences(replica, contents(path)))
    assert not wrong, f"{len(wrong)} rows differ:\n" + "\n".join(wrong[:10])
    return captured


def kill_at_random(world, random, until):
    kills = {"capture": 0, "agent": 0}
    while not until():
        time.sleep(random.uniform(0.05, 0.5))
        victim = "capture" if random.random() < 0.65 else "agent"
        daemon = getattr(world, victim)
        daemon.kill()
        kills[victim] += 1
        time.sleep(random.choice([0, 0, random.uniform(0, 0.3)]))
        daemon.start()
    return kills


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    random = random_source(options.seed)
    journal = random.choice(["wal", "delete"])
    world = CaptureWorld(options.bin, "sqlite:/placeholder", TABLES, 'topic = "db/{table}"\npoll_interval = "5ms"')
    with world:
        path = world.root / "shop.db"
        world.source = f"sqlite:{path}"
        world.write_capture(world.capture_keys)
        database = make(path, journal)
        # Rows that are there before the capture is.
        subprocess.run([sys.executable, HERE / "sqlite_writers.py", path, str(options.seed), str(options.changes // 10)], check=True,
                       capture_output=True)  # fmt: skip
        world.start()
        # The changes are to come by the outbox, not with the first rows.
        world.wait_state("streaming")
        writers = [subprocess.Popen([sys.executable, HERE / "sqlite_writers.py", path, str(options.seed + i),
                                     str(options.changes // WRITERS)], stdout=subprocess.PIPE, text=True)
                   for i in range(1, WRITERS + 1)]  # fmt: skip
        began = time.monotonic()
        kills = kill_at_random(world, random, lambda: all(writer.poll() is not None for writer in writers))
        changed = sum(int(writer.communicate()[0]) for writer in writers)
        wait_until(lambda: drained(world, database), "the outbox to be emptied", 120)
        world.capture.stop()
        world.agent.stop()
        captured = compare(world, path)
        groups = captured.transactions()
        seconds = time.monotonic() - began
        print(f"{journal}: {changed} changes by {WRITERS} writers, kills {kills}, {captured.records} records, {captured.counts()}, "
              f"{len(groups)} transactions, {captured.maybe_repeated} said that they may be repeated, {seconds:.1f} s")  # fmt: skip
        assert captured.maybe_repeated == 0, "a kill alone repeats nothing"
        assert sum(captured.counts()[kind] for kind in ("insert", "update", "delete")) > changed * 0.9, captured.counts()
        assert kills["capture"] + kills["agent"] > 0


if __name__ == "__main__":
    main()
