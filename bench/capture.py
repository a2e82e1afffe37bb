"""capture.py --bin DIR: how fast a backlog of changes is captured, beside the barest thing that could take it.

Each source has so many waiting changes; what takes them starts, and the time ends when the source has been told to forget the last one.
A peer reads the same rows, in the same batches, and throws them away: a loop that selects from the outbox and commits its delete (SQLite:
synced, as the capture does it), psql that deletes from it and returns the rows, pg_recvlogical into /dev/null. The capture makes records
of them that are power-safe in a stream before the source forgets. Rounds take turns; medians are compared.
"""

import argparse
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "system" / "capture"))
from capture_world import CaptureWorld, wait_until  # noqa: E402
from postgres_server import PROGRAMS, PostgresServer, is_there  # noqa: E402

BATCH = 2000
LONG_S = 600


class Sqlite:
    name = "SQLite, outbox"

    def __init__(self, options):
        self.options = options
        self.world = CaptureWorld(options.bin, "sqlite:/placeholder", ("orders",))
        self.path = self.world.root / "shop.db"
        self.world.source = f"sqlite:{self.path}"
        self.world.write_capture("snapshot = false")
        self.database = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        self.database.executescript("PRAGMA journal_mode = WAL; CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, amount REAL, remark TEXT)")
        assert self.world.tool("setup").returncode == 0
        self.world.agent.start()
        self.world.wait_ready()

    def fill(self):
        self.database.execute(f"INSERT INTO orders(customer, amount, remark) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
                              f"WHERE n < {self.options.changes}) SELECT 'customer ' || n, n * 1.5, 'a remark of an ordinary length, for order ' || n FROM c")
        self.last = self.database.execute("SELECT max(seq) FROM spillway_shop_outbox").fetchone()[0]

    def capture(self):
        self.world.capture.start()
        confirmed = "SELECT value FROM spillway_shop_meta WHERE key = 'confirmed'"
        wait_until(lambda: self.database.execute(confirmed).fetchone()[0] >= self.last, "the backlog to be captured", LONG_S, 0.01)

    def peer(self):
        self.database.execute("PRAGMA synchronous = FULL")
        taken = 0
        while True:
            rows = self.database.execute(f"SELECT * FROM spillway_shop_outbox WHERE seq > ? AND op < 100 ORDER BY seq LIMIT {BATCH}", (taken,)).fetchall()
            if not rows:
                return
            taken = rows[-1][0]
            # The capture's own mark stays: it would take the outbox for another one.
            self.database.execute("DELETE FROM spillway_shop_outbox WHERE seq <= ? AND op < 100", (taken,))

    def close(self):
        self.world.close()


class Postgres:
    def __init__(self, options):
        self.options = options
        self.server = PostgresServer().start()
        self.server.sql("CREATE TABLE orders(id bigserial PRIMARY KEY, customer text, amount numeric, remark text)")
        self.world = CaptureWorld(options.bin, self.server.url, ("orders",), f'mode = "{self.mode}"\nsnapshot = false')
        self.world.start()
        self.world.wait_state("streaming")
        self.world.capture.stop()

    def fill(self):
        self.server.sql(f"INSERT INTO orders(customer, amount, remark) SELECT 'customer ' || n, n * 1.5, 'a remark of an ordinary length, for order ' || n "
                        f"FROM generate_series(1, {self.options.changes}) n")  # fmt: skip

    def close(self):
        self.world.close()
        self.server.close()


class Replication(Postgres):
    name = "PostgreSQL, replication"
    mode = "replication"

    def run(self, *arguments):
        subprocess.run([str(PROGRAMS / "pg_recvlogical"), "-d", self.server.url, "--slot", "peer", *arguments], check=True, timeout=LONG_S)

    def fill(self):
        # Both begin at what is filled in now.
        if self.server.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'peer'") == "0":
            self.run("--create-slot", "-P", "pgoutput")
        self.last = self.server.sql("SELECT pg_current_wal_flush_lsn()")
        self.capture()
        self.world.capture.stop()
        self.server.sql("SELECT pg_replication_slot_advance('peer', pg_current_wal_flush_lsn())")
        super().fill()
        self.last = self.server.sql("SELECT pg_current_wal_flush_lsn()")

    def capture(self):
        self.world.capture.start()
        told = f"SELECT confirmed_flush_lsn >= '{self.last}' FROM pg_replication_slots WHERE slot_name = 'spillway_shop'"
        # The last commit's end lies just below what the server writes by itself behind it: one more change shows that all are through.
        self.server.sql("INSERT INTO orders(customer) VALUES('the end')")
        wait_until(lambda: self.server.sql(told) == "t", "the backlog to be captured", LONG_S, 0.02)

    def peer(self):
        self.server.sql("INSERT INTO orders(customer) VALUES('the end')")
        self.run("--start", "-o", "proto_version=1", "-o", "publication_names=spillway_shop", "--endpos", self.last, "-f", "/dev/null")


class Outbox(Postgres):
    name = "PostgreSQL, outbox"
    mode = "outbox"

    def capture(self):
        self.world.capture.start()
        left = "SELECT count(*) FROM (SELECT 1 FROM spillway_shop_outbox WHERE op < 100 LIMIT 1) one"
        wait_until(lambda: self.server.sql(left) == "0", "the backlog to be captured", LONG_S, 0.05)

    def peer(self):
        statement = f"DELETE FROM spillway_shop_outbox WHERE seq IN (SELECT seq FROM spillway_shop_outbox WHERE op < 100 ORDER BY seq LIMIT {BATCH}) RETURNING *;\n"
        subprocess.run([str(PROGRAMS / "psql"), "-X", "-q", "-A", "-t", self.server.url], input=statement * (self.options.changes // BATCH + 2),
                       stdout=subprocess.DEVNULL, text=True, check=True, timeout=LONG_S)  # fmt: skip


def measure(options, kind):
    rates = {"capture": [], "peer": []}
    subject = kind(options)
    try:
        for number in range(options.rounds):
            for what in rates:
                subject.fill()
                began = time.monotonic()
                getattr(subject, what)()
                rates[what].append(options.changes / (time.monotonic() - began))
                if what == "capture":
                    subject.world.capture.stop()
                print(f"  round {number + 1}  {what:8}{rates[what][-1]:12,.0f} changes/s", flush=True)
    finally:
        subject.close()
    ratio = statistics.median(mine / bare for mine, bare in zip(rates["capture"], rates["peer"]))
    print(f"{kind.name:26} capture {statistics.median(rates['capture']):10,.0f}/s   barest peer {statistics.median(rates['peer']):10,.0f}/s   ratio {ratio:.0%}",
          flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for kind in (Sqlite, Replication, Outbox):
        if kind is not Sqlite and not is_there():
            print(f"{kind.name}: left out, for PostgreSQL 15 is not installed")
        elif options.only in kind.name:
            measure(options, kind)


if __name__ == "__main__":
    main()
