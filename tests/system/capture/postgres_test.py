#!/usr/bin/env python3
"""Many mixed changes in a real PostgreSQL, by several writers, with kill -9 of the capture, the agent and the database at random:
what was captured, replayed, is the database; nothing is doubled; order and transactions hold. Then what may befall a slot.

postgres_test.py --bin DIR [--changes 10000] [--seed N] [--capture FAULT_CAPTURE] [--mode outbox]
"""

import argparse
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from capture_world import CaptureWorld, wait_until  # noqa: E402
from captured import Replica  # noqa: E402
from postgres_server import PostgresServer, is_there  # noqa: E402
from postgres_writers import SCHEMA, TABLES, Writer  # noqa: E402

from harness import random_source  # noqa: E402

WRITERS = 3
COLUMNS = {"orders": "id, customer, amount::text, encode(payload, 'hex'), weight::text, paid::int", "items": "order_id, line, name, price::text"}
KEYS = {"orders": 1, "items": 2}


def contents(server):
    tables = {}
    for table, columns in COLUMNS.items():
        rows = json.loads(server.sql(f"SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM {table}"))
        tables[table] = {tuple(row[: KEYS[table]]): comparable(table, row) for row in rows}
    return tables


def comparable(table, row):
    row = list(row)
    at = {"orders": 4, "items": 3}[table]
    row[at] = None if row[at] is None else float(row[at])
    return row


def replica_of(changes):
    replica = Replica()
    for change in changes:
        replica.apply(change)
    tables = {}
    for table in TABLES:
        tables[table] = {}
        for key, row in replica.tables[table].items():
            values = [value.hex() if isinstance(value, bytes) else value for value in list(row.values())[: len(COLUMNS[table].split(","))]]
            tables[table][key] = values
    return tables


def compare(world, server):
    captured = world.captured()
    mine, source = replica_of(captured.in_source_order()), contents(server)
    for table, rows in source.items():
        wrong = [f"{table} {key}: the source has {rows.get(key)}, the replica {mine[table].get(key)}"
                 for key in sorted(set(rows) | set(mine[table])) if not same(rows.get(key), mine[table].get(key))]  # fmt: skip
        assert not wrong, f"{len(wrong)} rows differ:\n" + "\n".join(wrong[:10])
    return captured


def same(a, b):
    if a is None or b is None:
        return False
    # real comes as the shortest text that says it, from both.
    return all(x == y or (isinstance(x, float) and isinstance(y, float) and abs(x - y) <= 1e-6 * abs(x) and len(a) == 4) for x, y in zip(a, b))


def settle(world, server):
    """Everything up to now has been captured."""
    settle.number += 1
    end = f"the end {settle.number}"
    server.sql(f"INSERT INTO orders(customer) VALUES('{end}')")

    def seen():
        return any(change.table == "orders" and change.sides["new"].get("customer") == end for change in world.captured().changes)

    wait_until(seen, f"the last change to be captured: {world.capture_status()}\n{world.capture.log_tail()}", 120, 0.3)


settle.number = 0


def storm(world, server, random, options):
    writers = [Writer(server, i, options.seed + i) for i in range(WRITERS)]
    running = [None] * WRITERS
    kills = {"capture": 0, "agent": 0, "postgres": 0}
    next_kill = time.monotonic() + 1
    statements = options.changes * 2 // 3  # some are of 20 rows, some of none
    while sum(writer.statements for writer in writers) < statements or any(p and p.poll() is None for p in running):
        for i, writer in enumerate(writers):
            if (running[i] is None or running[i].poll() is not None) and sum(w.statements for w in writers) < statements:
                running[i] = writer.start(40)
        time.sleep(0.02)
        if time.monotonic() < next_kill:
            continue
        next_kill = time.monotonic() + random.uniform(0.2, 1.5)
        victim = random.choices(["capture", "agent", "postgres"], [5, 3, 1])[0]
        kills[victim] += 1
        if victim == "postgres":
            server.kill()
            time.sleep(random.uniform(0, 0.5))
            server.start()
        else:
            daemon = getattr(world, victim)
            daemon.kill()
            time.sleep(random.choice([0, random.uniform(0, 0.4)]))
            daemon.start()
    return kills, sum(writer.statements for writer in writers)


def lost_slots(world, server):
    """A slot that is gone, or was moved by somebody else, is an error until a new snapshot is asked for."""
    for what, harm in (("is gone", "SELECT pg_drop_replication_slot('spillway_shop')"),
                       ("by somebody else", "SELECT pg_replication_slot_advance('spillway_shop', pg_current_wal_lsn())")):  # fmt: skip
        epochs = len(world.captured().epochs)
        world.capture.stop()
        server.sql("INSERT INTO orders(customer) VALUES('nobody sees it')")
        wait_until(lambda: server.sql("SELECT count(*) FROM pg_replication_slots WHERE active") == "0", "the slot to be free")
        server.sql(harm)
        world.capture.start()
        wait_until(lambda: what in world.capture_status().get("error", ""), f"the error that the slot {what}: {world.capture_status()}")
        assert "resnapshot" in world.capture_status()["error"]
        assert len(world.captured().epochs) == epochs
        assert world.tool("resnapshot", "shop").returncode == 0
        settle(world, server)
        assert len(world.captured().epochs) == epochs + 1
        compare(world, server)


def schema_changes(world, server):
    server.sql("TRUNCATE items; INSERT INTO items VALUES(1, 1, 'behind it', 1.5)")
    server.sql("ALTER TABLE items ADD COLUMN remark text; UPDATE items SET remark = 'new' WHERE line = 1")
    settle(world, server)
    captured = compare(world, server)
    items = [change for change in captured.in_source_order() if change.table == "items"]
    assert "truncate" in [change.operation for change in items]
    assert list([change for change in items if change.operation == "schema"][-1].sides["new"]) == ["order_id", "line", "name", "price", "remark"]
    assert items[-1].sides["new"]["remark"] == "new" and items[-1].sides["old"]["remark"] is None


def killed_beginnings(world, server, program):
    """A capture that dies while it makes its slot, or brings its first rows."""
    usual = world.capture.command
    for step, passage in (("capture.slot_intended", 1), ("capture.slot_made", 1), ("capture.put_noted", 5), ("capture.saved", 1)):
        world.capture.command = ["/usr/bin/env", f"SPILLWAY_STEP_KILL={step}:{passage}", str(program), *usual[1:]]
        world.capture.start()
        wait_until(lambda: not world.capture.alive(), f"the death at {step}")
        assert world.capture.process.returncode == -signal.SIGKILL, world.capture.log_tail()
    world.capture.command = usual
    world.capture.start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--capture", type=pathlib.Path)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--mode", choices=("replication", "outbox"), default="replication")
    parser.add_argument("--storm-only", action="store_true", help="nothing behind it: each look at a large stream takes its time")
    options = parser.parse_args()
    if not is_there():
        print("PostgreSQL 15 is not installed: nothing was tested")
        return 77
    print(f"seed {options.seed}", flush=True)
    random = random_source(options.seed)
    with PostgresServer() as server, CaptureWorld(options.bin, server.url, TABLES, f'mode = "{options.mode}"') as world:
        server.sql(SCHEMA)
        server.sql("INSERT INTO orders(customer, amount) SELECT 'first ' || n, n FROM generate_series(1, 1500) n")
        world.agent.start()
        world.wait_ready()
        if options.capture:
            killed_beginnings(world, server, options.capture)
        else:
            world.capture.start()
        # The changes are to come by the slot, not with the first rows.
        world.wait_state("streaming")
        began = time.monotonic()
        kills, statements = storm(world, server, random, options)
        settle(world, server)
        captured = compare(world, server)
        by_slot = options.mode == "replication"
        groups = captured.transactions() if by_slot else []
        print(f"{options.mode}: {statements} statements by {WRITERS} writers, kills {kills}, {captured.records} records, {captured.counts()}, {len(groups)} transactions, "
              f"{len(captured.epochs)} epochs, {captured.maybe_repeated} said that they may be repeated, {time.monotonic() - began:.1f} s", flush=True)  # fmt: skip
        assert captured.maybe_repeated == 0, "a kill alone repeats nothing"
        assert sum(captured.counts()[kind] for kind in ("insert", "update", "delete")) >= options.changes, "too few changes"
        assert sum(kills.values()) > 0
        if not by_slot or options.storm_only:
            return 0
        assert len(groups) > 10
        schema_changes(world, server)
        lost_slots(world, server)
        print("columns added, truncated, slots lost and taken anew", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
