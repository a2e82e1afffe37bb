#!/usr/bin/env python3
"""What happens to a captured PostgreSQL database beside plain changes: its publication is changed, a table made anew, an older copy put
back, rows are large, rights and settings are missing. Nothing is ever lost in silence.

postgres_cases_test.py --bin DIR [--only NAME]
"""

import argparse
import pathlib
import re
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from capture_world import CaptureWorld, wait_until  # noqa: E402
from captured import Replica  # noqa: E402
from postgres_server import PostgresServer, is_there  # noqa: E402

TABLES = ("orders", "items")
SCHEMA = """
CREATE TABLE orders(id bigint PRIMARY KEY, customer text, payload text);
CREATE TABLE items(id bigint PRIMARY KEY, name text);
INSERT INTO orders VALUES(1, 'ann', 'first'), (2, 'bob', NULL); INSERT INTO items VALUES(1, 'nut');
"""


class Case:
    """A server with a small shop, and a capture that has taken everything that is there."""

    def __init__(self, binaries, keys="", schema=SCHEMA, tables=TABLES, url=None, settled=True):
        self.settled = settled
        self.server = PostgresServer().start()
        self.server.sql(schema)
        self.world = CaptureWorld(binaries, url(self.server) if url else self.server.url, tables, keys)
        self.ends = 0

    def __enter__(self):
        """The changes that follow are to come by the slot, not with the first rows."""
        try:
            self.world.start()
            if self.settled:
                self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.world.close()
        self.server.close()

    def settle(self):
        """All that was committed before has been captured."""
        self.ends += 1
        self.server.sql(f"INSERT INTO orders(id, customer) VALUES({1_000_000 + self.ends}, 'end')")

        # Asked of the slot first, if there is one: to read the whole stream is slow.
        end = self.server.sql("SELECT pg_current_wal_flush_lsn()")
        behind = f"SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn < '{end}'"
        wait_until(lambda: self.server.sql(behind) == "0", f"the slot to be told: {self.world.capture_status()}\n{self.world.capture.log_tail()}")

        def seen():
            return (1_000_000 + self.ends,) in self.replica()["orders"]

        wait_until(seen, f"the last change: {self.world.capture_status()}\n{self.world.capture.log_tail()}", pause_s=0.1)

    def replica(self):
        replica = Replica()
        for change in self.world.captured().in_source_order():
            replica.apply(change)
        return replica.tables

    def compare(self, table, columns):
        self.settle()
        rows = self.server.sql(f"SELECT concat_ws('|', {columns}) FROM {table} ORDER BY 1").splitlines()
        names = [name.strip() for name in columns.split(",")]

        def mine():
            return ["|".join(str(row[name]) for name in names if row.get(name) is not None) for row in self.replica()[table].values()]

        # The last change may have come with the rows of a table whose snapshot is before this one's.
        try:
            wait_until(lambda: sorted(mine()) == sorted(rows), f"{table} to be as in the source", 30, pause_s=0.1)
        except TimeoutError as error:
            raise AssertionError(f"{error}: the source has {rows[:9]}, the replica {mine()[:9]}") from None

    def wait_error(self, text):
        wait_until(lambda: text in self.world.capture_status().get("error", ""), f"the error \"{text}\": {self.world.capture_status()}")

    def error_until_resnapshot(self, text):
        """It is an error until it is asked for, and then all is well."""
        self.wait_error(text)
        assert "resnapshot" in self.world.capture_status()["error"]
        assert self.world.tool("resnapshot", "shop").returncode == 0
        for table, columns in (("orders", "id, customer"), ("items", "id, name")):
            self.compare(table, columns)


def publication_changes(binaries):
    with Case(binaries) as case:
        case.server.sql("ALTER PUBLICATION spillway_shop SET (publish = 'insert'); UPDATE items SET name = 'not told'")
        case.error_until_resnapshot("not with all its changes")
        case.server.sql("ALTER PUBLICATION spillway_shop SET TABLE orders, items WHERE (id > 5); INSERT INTO items VALUES(3, 'not told')")
        case.error_until_resnapshot("not with all its changes")
        # All between two looks.
        case.server.sql("ALTER PUBLICATION spillway_shop DROP TABLE items; INSERT INTO items VALUES(4, 'not told'); "
                        "ALTER PUBLICATION spillway_shop ADD TABLE ONLY items")  # fmt: skip
        case.error_until_resnapshot("published anew")
        case.server.sql("DROP TABLE items; CREATE TABLE items(id bigint PRIMARY KEY, name text); INSERT INTO items VALUES(5, 'not told')")
        case.error_until_resnapshot("was it made anew")


def an_older_copy_put_back(binaries):
    with Case(binaries) as case:
        case.world.capture.stop()
        case.server.close_process()
        copy = case.server.folder / "copy"
        shutil.copytree(case.server.data, copy)
        case.server.start()
        case.world.capture.start()
        case.server.sql("INSERT INTO orders SELECT n, repeat('x', 500) FROM generate_series(100, 400) n")
        case.settle()
        case.world.capture.stop()
        case.server.close_process()
        shutil.rmtree(case.server.data)
        copy.rename(case.server.data)
        case.server.own(case.server.data)
        case.server.start()
        case.server.sql("INSERT INTO items VALUES(7, 'of the copy')")
        case.world.capture.start()
        case.error_until_resnapshot("an older copy was put back")


def large_rows(binaries):
    """50 MB in one transaction; then values that an update does not touch, and that are not sent again."""
    with Case(binaries, 'max_record_bytes = "64KiB"') as case:
        case.server.sql("INSERT INTO orders SELECT n, 'large', (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 1600) i) "
                        "FROM generate_series(1000, 1999) n")  # fmt: skip
        case.server.sql("UPDATE orders SET customer = 'touched' WHERE id = 1234")
        case.settle()
        update = [change for change in case.world.captured().changes if change.operation == "update"][-1]
        whole = case.server.sql("SELECT md5(payload) FROM orders WHERE id = 1234")
        import hashlib

        for side in ("old", "new"):
            assert hashlib.md5(update.sides[side]["payload"].encode()).hexdigest() == whole, side
        case.compare("orders", "id, customer")
        assert case.world.tool("resnapshot", "shop").returncode == 0
        wait_until(lambda: case.world.capture_status().get("snapshot_rows", 0) > 1000, "the rows again")
        case.compare("orders", "id, customer")
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{case.world.capture.process.pid}/status").read_text())[1]) // 1024
        print(f"  50 MB in a transaction and in a snapshot: the capture has taken {peak} MiB", flush=True)
        assert peak < 45, f"{peak} MiB"


def keys_alone(binaries):
    """old_values = "key": what is not sent is told as unchanged; a replica identity by another index is the key."""
    schema = SCHEMA + "ALTER TABLE items ADD COLUMN code text NOT NULL DEFAULT 'c'; UPDATE items SET code = 'c' || id; " \
        "CREATE UNIQUE INDEX items_code ON items(code); ALTER TABLE items REPLICA IDENTITY USING INDEX items_code;"  # fmt: skip
    with Case(binaries, 'old_values = "key"', schema) as case:
        case.server.sql("UPDATE orders SET payload = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 900) i) WHERE id = 1")
        case.server.sql("UPDATE orders SET customer = 'touched' WHERE id = 1")
        case.server.sql("UPDATE items SET name = 'bolt' WHERE code = 'c1'; UPDATE items SET code = 'd1' WHERE code = 'c1'; "
                        "INSERT INTO items VALUES(2, 'cog', 'c2'); DELETE FROM items WHERE code = 'd1'")  # fmt: skip
        case.settle()
        changes = case.world.captured().in_source_order()
        last = [change for change in changes if change.table == "orders" and change.operation == "update"][-1]
        assert last.kinds["new"]["payload"] == "unchanged" and not last.sides["old"], last.record
        assert [list(change.sides["key"].values()) for change in changes if change.table == "items" and change.operation != "schema"
                and change.sides["key"]] == [["c1"], ["c1"], ["c1"], ["c2"], ["d1"]]  # fmt: skip
        case.compare("items", "id, name, code")


def columns_that_are_not_sent(binaries):
    """Generated columns, and tables that inherit."""
    schema = SCHEMA + "ALTER TABLE items ADD COLUMN twice text GENERATED ALWAYS AS (name || name) STORED; " \
        "CREATE TABLE heirs() INHERITS (items); INSERT INTO heirs VALUES(50, 'of the heir');"  # fmt: skip
    with Case(binaries, "", schema) as case:
        case.server.sql("INSERT INTO items VALUES(2, 'cog'); INSERT INTO heirs VALUES(51, 'another'); UPDATE ONLY items SET name = 'x' WHERE id = 1")
        case.settle()
        assert case.replica()["items"] == {(1,): {"id": 1, "name": "x"}, (2,): {"id": 2, "name": "cog"}}, case.replica()["items"]


def what_cannot_work_is_told(binaries):
    def weak(server):
        return server.url.replace("postgres@", "weak@")

    roles = "CREATE ROLE weak LOGIN; GRANT CREATE ON DATABASE postgres TO weak; ALTER TABLE orders OWNER TO weak; ALTER TABLE items OWNER TO weak; "
    partitioned = "CREATE TABLE parts(id bigint PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9);"
    with Case(binaries, "", SCHEMA + roles + partitioned, url=weak, settled=False) as case:
        case.wait_error("replication")
        # The documented rights are enough.
        case.server.sql("ALTER ROLE weak REPLICATION")
        case.compare("orders", "id, customer")
        # A restart without logical decoding: the server itself refuses to start with such a slot, so it goes first.
        case.world.capture.stop()
        assert case.world.tool("remove").returncode == 0
        case.server.close_process()
        with open(case.server.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write("wal_level = replica\n")
        case.server.start()
        case.world.capture.start()
        case.wait_error("wal_level")
        case.world.capture.stop()
        case.world.tables = ("parts",)
        case.world.write_capture("")
        case.world.capture.start()
        case.wait_error("is partitioned")


def outbox_columns_and_writers(binaries):
    with Case(binaries, 'mode = "outbox"', SCHEMA + "ALTER TABLE items ADD COLUMN data bytea, ADD COLUMN weight double precision, ADD COLUMN at timestamptz;") as case:
        case.server.sql("""SET bytea_output = escape; SET extra_float_digits = 0; SET timezone = 'Asia/Tokyo';
            INSERT INTO items VALUES(2, 'odd writer', '\\x00ff27', 0.1::float8 + 0.2::float8, '2026-01-01 00:00:00+00')""")  # fmt: skip
        # As an apply worker of another replication.
        case.server.sql("SET session_replication_role = replica; INSERT INTO items(id, name) VALUES(3, 'replicated')")
        case.settle()
        row = case.replica()["items"][(2,)]
        assert row["data"] == b"\x00\xff'" and row["weight"] == 0.1 + 0.2 and row["at"] == "2026-01-01T00:00:00+00:00", row
        assert (3,) in case.replica()["items"]
        # Rows of before and behind a column's change, taken together.
        case.world.capture.stop()
        case.server.sql("INSERT INTO items(id, name) VALUES(4, 'before'); ALTER TABLE items RENAME name TO title; INSERT INTO items(id, title) VALUES(5, 'behind')")
        case.world.capture.start()
        case.settle()
        case.server.sql("ALTER TABLE items ADD COLUMN remark text; INSERT INTO items(id, title, remark) VALUES(6, 'title', 'told at once')")
        case.settle()
        items = case.replica()["items"]
        assert items[(4,)]["name"] == "before" and items[(5,)]["title"] == "behind" and items[(6,)]["remark"] == "told at once", items
        schemas = [list(change.sides["new"]) for change in case.world.captured().in_source_order() if change.table == "items" and change.operation == "schema"]
        assert schemas[0][1] == "name" and schemas[-1][-1] == "remark", schemas


def an_outbox_older_by_one_change(binaries):
    """Only the table's last change is another one, under the same number."""
    with Case(binaries, 'mode = "outbox"') as case:
        case.world.capture.stop()
        saved = [f"CREATE TABLE kept_{table} AS SELECT * FROM {name}" for table, name in
                 (("outbox", "spillway_shop_outbox"), ("meta", "spillway_shop_meta"), ("orders", "orders"))]  # fmt: skip
        number = case.server.sql("; ".join([*saved, "SELECT last_value FROM spillway_shop_outbox_seq_seq"]))
        case.world.capture.start()
        case.server.sql("INSERT INTO orders VALUES(77, 'lost')")
        wait_until(lambda: (77,) in case.replica()["orders"], "the change that will be lost")
        case.world.capture.stop()
        case.server.sql(f"""SET session_replication_role = replica; BEGIN; ALTER TABLE orders DISABLE TRIGGER ALL;
            DELETE FROM orders WHERE id = 77; ALTER TABLE orders ENABLE ALWAYS TRIGGER spillway_shop;
            ALTER TABLE orders ENABLE ALWAYS TRIGGER spillway_shop_truncate;
            DELETE FROM spillway_shop_outbox; INSERT INTO spillway_shop_outbox SELECT * FROM kept_outbox;
            UPDATE spillway_shop_meta m SET value = k.value FROM kept_meta k WHERE k.key = m.key;
            SELECT setval('spillway_shop_outbox_seq_seq', {number}); COMMIT; INSERT INTO orders VALUES(78, 'of the copy')""")  # fmt: skip
        case.world.capture.start()
        wait_until(lambda: len(case.world.captured().epochs) == 2, f"the epoch of what was put back: {case.world.capture.log_tail()}")
        case.compare("orders", "id, customer")


CASES = [publication_changes, an_older_copy_put_back, large_rows, keys_alone, columns_that_are_not_sent, what_cannot_work_is_told,
         outbox_columns_and_writers, an_outbox_older_by_one_change]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not is_there():
        print("PostgreSQL 15 is not installed: nothing was tested")
        return 77
    for case in CASES:
        if options.only in case.__name__:
            began = time.monotonic()
            case(options.bin)
            print(f"{case.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
