#!/usr/bin/env python3
"""What happens to a captured SQLite database beside plain changes: its tables' columns change, a table goes, the file is
replaced or an older copy put back, somebody keeps it locked, the outbox is taken away, values are larger than a record.

sqlite_cases_test.py --bin DIR
"""

import argparse
import contextlib
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from capture_world import CaptureWorld, wait_until  # noqa: E402
from sqlite_test import compare, drained  # noqa: E402
from sqlite_writers import TABLES, connect, make  # noqa: E402


class Case:
    """A world with a small shop, whose capture has taken everything that is there."""

    def __init__(self, binaries, keys=""):
        self.world = CaptureWorld(binaries, "sqlite:/placeholder", TABLES, f'poll_interval = "5ms"\n{keys}')
        self.path = self.world.root / "shop.db"
        self.world.source = f"sqlite:{self.path}"
        self.world.write_capture(self.world.capture_keys)
        self.database = make(self.path)
        self.database.execute("INSERT INTO orders VALUES(1, 'ann', 1, x'00', 'c1'), (2, 'bob', 2.5, NULL, 'c2')")

    def __enter__(self):
        self.world.start()
        self.settle()
        return self

    def __exit__(self, *_):
        self.database.close()
        self.world.close()

    def settle(self):
        def empty():
            try:
                with contextlib.closing(connect(self.path)) as database:
                    return drained(self.world, database) and self.world.capture_status().get("state") == "streaming"
            except Exception:  # noqa: BLE001 (the tables may not be there yet)
                return False

        wait_until(empty, f"the outbox to be emptied: {self.world.capture_status()}\n{self.world.capture.log_tail()}")

    def wait_schemas(self, table, count):
        wait_until(lambda: self.operations(table).count("schema") == count, f"schema record {count} of {table}")
        self.settle()

    def changes(self):
        self.settle()
        return self.world.captured().in_source_order()

    def operations(self, table):
        return [change.operation for change in self.changes() if change.table == table]


def columns_come_and_go(binaries):
    with Case(binaries) as case:
        db = case.database
        db.execute("ALTER TABLE orders ADD COLUMN note TEXT DEFAULT 'none'")
        db.execute("INSERT INTO orders(id, note) VALUES(3, 'missed by the old triggers')")
        case.wait_schemas("orders", 2)
        db.execute("ALTER TABLE orders RENAME COLUMN note TO remark")
        db.execute("UPDATE orders SET remark = 'changed' WHERE id = 1")
        case.wait_schemas("orders", 3)
        # The usual way to change anything else: a new table takes the old one's place.
        db.executescript("""BEGIN; CREATE TABLE orders2(id INTEGER PRIMARY KEY, customer TEXT);
            INSERT INTO orders2 SELECT id, customer FROM orders; DROP TABLE orders; ALTER TABLE orders2 RENAME TO orders;
            INSERT INTO orders VALUES(9, 'while no trigger was there'); COMMIT;""")
        case.wait_schemas("orders", 4)
        db.execute("INSERT INTO orders VALUES(10, 'behind it')")
        changes = case.changes()
        schemas = [list(change.sides["new"]) for change in changes if change.operation == "schema" and change.table == "orders"]
        assert schemas == [["id", "customer", "amount", "payload", "code"], ["id", "customer", "amount", "payload", "code", "note"],
                           ["id", "customer", "amount", "payload", "code", "remark"], ["id", "customer"]], schemas  # fmt: skip
        replica = replay(changes)
        assert sorted(replica["orders"]) == [(1,), (2,), (3,), (9,), (10,)], replica["orders"]
        assert all(list(row) == ["id", "customer"] for row in replica["orders"].values())


def replay(changes):
    from captured import Replica

    replica = Replica()
    for change in changes:
        replica.apply(change)
    return replica.tables


def a_table_that_goes_is_told(binaries):
    with Case(binaries) as case:
        case.database.execute("DROP TABLE notes")
        wait_until(lambda: case.operations("notes")[-1:] == ["schema"], "the record that the table is gone")
        last = [change for change in case.changes() if change.table == "notes"][-1]
        assert not last.sides["new"] and "gone" in last.record["note"], last.record
        case.database.execute("CREATE TABLE notes(body, at)")
        case.database.execute("INSERT INTO notes VALUES('again', 1)")
        case.settle()
        wait_until(lambda: replay(case.changes())["notes"] == {(1,): {"body": "again", "at": 1}}, "the new table's row")


def another_file_in_its_place(binaries):
    with Case(binaries) as case:
        other = case.path.with_name("other.db")
        database = make(other, "delete")
        database.execute("INSERT INTO orders(id, customer) VALUES(77, 'new file')")
        database.close()
        for ending in ("-wal", "-shm"):
            case.path.with_name(case.path.name + ending).unlink(missing_ok=True)
        other.rename(case.path)
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the new file's epoch")
        case.settle()
        assert list(replay(case.changes())["orders"]) == [(77,)]


def an_older_copy_put_back(binaries):
    with Case(binaries) as case:
        case.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy = case.path.with_name("copy.db")
        shutil.copy(case.path, copy)
        for i in range(100, 140):
            case.database.execute("INSERT INTO orders(id, customer) VALUES(?, 'lost')", (i,))
            case.settle() if i % 10 == 0 else None
        case.settle()
        case.world.capture.stop()
        case.database.close()
        put_back(case, copy)
        case.database.execute("INSERT INTO orders(id, customer) VALUES(5, 'of the copy')")
        case.world.capture.start()
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the epoch of what was put back")
        case.settle()
        assert sorted(replay(case.changes())["orders"]) == [(1,), (2,), (5,)]
        assert "older copy" in case.world.capture.log_path.read_text()


def put_back(case, copy):
    """The copy takes the closed file's place."""
    for ending in ("-wal", "-shm"):
        case.path.with_name(case.path.name + ending).unlink(missing_ok=True)
    copy.rename(case.path)
    case.database = connect(case.path)


def a_copy_older_by_one_change_put_back(binaries):
    """All that its outbox says is what the position expects; only the last change is another one, under the same number."""
    with Case(binaries) as case:
        case.database.execute("INSERT INTO orders(id, customer) VALUES(3, 'in both')")
        case.settle()
        case.world.capture.stop()
        case.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy = case.path.with_name("copy.db")
        shutil.copy(case.path, copy)
        case.world.capture.start()
        case.database.execute("INSERT INTO orders(id, customer) VALUES(4, 'lost')")
        case.settle()
        case.world.capture.kill()
        case.database.close()
        put_back(case, copy)
        case.database.execute("INSERT INTO orders(id, customer) VALUES(5, 'of the copy')")
        case.world.capture.start()
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the epoch of what was put back")
        case.settle()
        assert sorted(replay(case.changes())["orders"]) == [(1,), (2,), (3,), (5,)]


def an_older_copy_into_the_open_file(binaries):
    """As `.restore` does it: the file stays, its content is another one."""
    with Case(binaries) as case:
        copy = connect(case.path.with_name("copy.db"))
        case.database.backup(copy)
        case.database.execute("INSERT INTO orders(id, customer) VALUES(4, 'lost')")
        case.settle()
        copy.execute("INSERT INTO orders(id, customer) VALUES(5, 'of the copy')")
        copy.backup(case.database)
        copy.close()
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the epoch of what was put back")
        case.settle()
        assert sorted(replay(case.changes())["orders"]) == [(1,), (2,), (5,)]
        tables = [change.operation for change in case.changes() if change.record["epoch"] != case.changes()[0].record["epoch"]]
        assert tables.count("schema") == len(TABLES), "a new epoch tells its columns"


def a_copy_of_an_epoch_before(binaries):
    """Its numbers go on where others of that epoch were sent already."""
    with Case(binaries) as case:
        copy = case.path.with_name("copy.db")
        case.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(case.path, copy)
        case.database.execute("INSERT INTO orders(id, customer) VALUES(4, 'lost')")
        case.settle()
        assert case.world.tool("resnapshot", "shop").returncode == 0
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the new epoch")
        case.settle()
        case.world.capture.stop()
        case.database.close()
        put_back(case, copy)
        case.database.execute("INSERT INTO orders(id, customer) VALUES(5, 'of the copy')")
        case.world.capture.start()
        wait_until(lambda: len(case.world.captured().epochs) == 3, "the epoch of what was put back")
        case.settle()
        assert sorted(replay(case.changes())["orders"]) == [(1,), (2,), (5,)]


def a_vacuum_that_gives_new_row_ids(binaries):
    with Case(binaries) as case:
        db = case.database
        db.executescript("".join(f"INSERT INTO notes VALUES('note {i}', {i});" for i in range(10)) + "DELETE FROM notes WHERE at < 5;")
        case.settle()
        db.execute("VACUUM")
        db.execute("UPDATE notes SET body = 'changed' WHERE at = 7")
        assert db.execute("SELECT rowid FROM notes WHERE at = 7").fetchone() == (3,), "SQLite has kept its row ids: nothing is tested"
        wait_until(lambda: case.operations("notes").count("snapshot_begin") == 2, "the rows to come again")
        case.settle()
        compare(case.world, case.path)


def the_position_is_gone(binaries):
    """What was captured and delivered is not known any more: all rows come again, and nobody has to ask."""
    with Case(binaries) as case:
        case.database.execute("INSERT INTO orders(id, customer) VALUES(3, 'sent')")
        case.settle()
        case.world.capture.kill()
        (case.world.spill_dir / ".capture" / "shop.position").unlink()
        case.database.execute("INSERT INTO orders(id, customer) VALUES(4, 'meanwhile')")
        case.world.capture.start()
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the new epoch")
        case.settle()
        compare(case.world, case.path)
        assert "is not known here" in case.world.capture.log_path.read_text()


def an_older_position_put_back(binaries):
    with Case(binaries) as case:
        position = case.world.spill_dir / ".capture" / "shop.position"
        case.world.capture.stop()
        older = position.read_bytes()
        case.world.capture.start()
        for i in (3, 4):
            case.database.execute("INSERT INTO orders(id, customer) VALUES(?, 'sent')", (i,))
            case.settle()
        case.world.capture.stop()
        position.write_bytes(older)
        case.world.capture.start()
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the new epoch")
        case.settle()
        compare(case.world, case.path)


def a_torn_position(binaries):
    """Of its two slots one is always whole."""
    with Case(binaries) as case:
        position = case.world.spill_dir / ".capture" / "shop.position"
        for at in (0, 4096):
            case.database.execute("INSERT INTO orders(customer) VALUES('before')")
            case.settle()
            case.world.capture.kill()
            data = bytearray(position.read_bytes())
            data[at + 512 : at + 4096] = bytes(3584)
            data[at + 100] ^= 0xFF
            position.write_bytes(data)
            case.database.execute("INSERT INTO orders(customer) VALUES('behind')")
            case.world.capture.start()
            case.settle()
            compare(case.world, case.path)
        assert len(case.world.captured().epochs) == 1, case.world.capture.log_tail()


def checkpoints_and_journals(binaries):
    """What belongs to the writers: the journal's mode, and when the WAL goes into the file."""
    with Case(binaries) as case:
        def write(what):
            case.database.executescript(f"""PRAGMA {what}; BEGIN; INSERT INTO orders(customer, code) VALUES('writer', '{what}');
                REPLACE INTO orders(id, code) VALUES(90, '{what}'); COMMIT;""")  # fmt: skip

        for what in ("wal_checkpoint(TRUNCATE)", "trusted_schema = OFF", "recursive_triggers = ON", "wal_checkpoint(RESTART)"):
            write(what)
        case.settle()
        # SQLite leaves the WAL only while nobody else has the file open; and SQLite 3.40 then goes on with pages that it has read
        # before, whatever others have written since: so by a connection that has read nothing.
        case.world.capture.stop()
        case.database.close()
        case.database = connect(case.path)
        write("journal_mode = DELETE")
        case.world.capture.start()
        write("synchronous = OFF")
        case.settle()
        compare(case.world, case.path)
        assert len(case.world.captured().epochs) == 1, case.world.capture.log_tail()


def a_lock_is_waited_for(binaries):
    with Case(binaries) as case:
        case.world.capture.stop()
        case.database.execute("BEGIN IMMEDIATE")
        case.database.execute("INSERT INTO notes VALUES('locked', 1)")
        case.world.capture.start()
        wait_until(lambda: "locked" in case.world.capture_status().get("error", ""), "the lock to be met")
        case.database.execute("COMMIT")
        wait_until(lambda: [change.sides["new"]["body"] for change in case.changes() if change.operation == "insert"] == ["locked"],
                   "what was written under the lock")  # fmt: skip


def large_values_come_in_parts(binaries):
    with Case(binaries, 'max_record_bytes = "4KiB"\nlane_bytes = "64KiB"') as case:
        text = "£" * 70_000
        case.database.execute("INSERT INTO notes VALUES(?, ?)", (text, bytes(range(256)) * 500))
        case.settle()
        captured = compare(case.world, case.path)
        assert max(change.parts for change in captured.changes) > 40
        # The status is written every quarter of a second, and at the end: only there it tells of all that was done.
        case.world.capture.stop()
        assert case.world.capture_status()["split_changes"] == 1, case.world.capture_status()


def a_new_snapshot_on_demand(binaries):
    with Case(binaries) as case:
        asked = case.world.tool("resnapshot", "shop")
        assert asked.returncode == 0, asked.stderr
        wait_until(lambda: len(case.world.captured().epochs) == 2, "the new epoch")
        case.settle()
        assert sorted(replay(case.changes())["orders"]) == [(1,), (2,)]


def removed_and_told(binaries):
    with Case(binaries) as case:
        refused = case.world.tool("remove")
        assert refused.returncode != 0 and "another spillway-capture" in refused.stderr, refused
        case.world.capture.stop()
        shown = case.world.tool("remove", "--dry-run")
        assert "DROP TRIGGER" in shown.stdout
        removed = case.world.tool("remove")
        assert removed.returncode == 0, removed.stderr
        left = case.database.execute("SELECT name FROM sqlite_master WHERE name GLOB 'spillway*'").fetchall()
        assert not left, left
        case.database.execute("INSERT INTO notes VALUES('free', 1)")
        shown = case.world.tool("setup", "--dry-run")
        assert "CREATE TRIGGER" in shown.stdout and case.database.execute(
            "SELECT count(*) FROM sqlite_master WHERE name GLOB 'spillway*'").fetchone()[0] == 0  # fmt: skip


def lanes_of_the_dead_are_drained_first(binaries):
    """What stands in a dead capture's lanes is in no spill yet: to go on before it is would send it twice."""
    with Case(binaries) as case:
        world = case.world
        world.agent.kill()
        case.database.executescript("".join(f"INSERT INTO notes VALUES({i}, 'in the lane');" for i in range(200)))
        wait_until(lambda: "to take what was put" in world.capture_status()["state"], "the records to stand in a lane")
        world.capture.kill()
        world.capture.start()
        wait_until(lambda: "to drain what was put before" in world.capture_status()["state"], "the wait for the old lane")
        world.agent.start()
        case.settle()
        compare(world, case.path)


CASES = [columns_come_and_go, a_table_that_goes_is_told, another_file_in_its_place, an_older_copy_put_back,
         a_copy_older_by_one_change_put_back, an_older_copy_into_the_open_file, a_copy_of_an_epoch_before, a_vacuum_that_gives_new_row_ids,
         the_position_is_gone, an_older_position_put_back, a_torn_position, checkpoints_and_journals, a_lock_is_waited_for,
         large_values_come_in_parts, a_new_snapshot_on_demand, lanes_of_the_dead_are_drained_first, removed_and_told]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for case in CASES:
        if options.only in case.__name__:
            began = time.monotonic()
            case(options.bin)
            print(f"{case.__name__}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
