"""Writers of a SQLite database, each a process of its own: inserts, updates and deletes in transactions, some rolled back.

sqlite_writers.py DATABASE SEED CHANGES: makes about so many committed changes and prints their number.
"""

import math
import random
import sqlite3
import sys

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, customer TEXT, amount, payload BLOB, code TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS items("order id" INTEGER, line INTEGER, name TEXT, price REAL, PRIMARY KEY("order id", line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes(body, at);
"""
TABLES = ("orders", "items", "notes")


def connect(path):
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def make(path, journal="wal"):
    connection = connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.executescript(SCHEMA)
    return connection


class Writer:
    """One writer; its source of chance decides everything."""

    def __init__(self, path, seed):
        self.random = random.Random(seed)
        self.connection = connect(path)
        self.changes = 0

    def value(self):
        r = self.random
        return r.choice([
            None, r.randint(-(2**63), 2**63 - 1), r.random() * 10 ** r.randint(-300, 300), -0.0, 0.1 + r.random(), math.pi,
            "", "naïve £€ \U0001f600", "quote ' and \" and \\", "x" * r.randint(0, 300), r.randbytes(r.randint(0, 200)), b"", b"\0\1\0",
        ])  # fmt: skip

    def one_change(self):
        r, db = self.random, self.connection
        kind = r.random()
        if kind < 0.30:
            sql = r.choice(["INSERT INTO", "INSERT OR REPLACE INTO", "INSERT OR IGNORE INTO"])
            key = None if r.random() < 0.7 else r.randint(1, 400)
            code = f"c{r.randint(1, 600)}" if r.random() < 0.5 else None
            if sql == "INSERT INTO":
                key, code = None, None
            return db.execute(f"{sql} orders VALUES(?, ?, ?, ?, ?)",
                              (key, self.value(), self.value(), self.value(), code)).rowcount  # fmt: skip
        if kind < 0.40:
            return db.execute("""INSERT INTO items VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET name = excluded.name, price = price + 1""",
                              (r.randint(1, 40), r.randint(1, 20), "item", r.random())).rowcount  # fmt: skip
        if kind < 0.50:
            return db.execute("INSERT INTO notes VALUES(?, ?)", (self.value(), self.value())).rowcount
        table = r.choice(TABLES)
        which = "rowid IN (SELECT rowid FROM {0} ORDER BY random() LIMIT 1)".format(table)
        if table == "items":
            which = f"\"order id\" = {r.randint(1, 40)} AND line < {r.randint(1, 8)}"
        if kind < 0.85:
            if table == "orders":
                return db.execute(f"UPDATE OR REPLACE orders SET amount = ?, code = ? WHERE {which}",
                                  (self.value(), f"c{r.randint(1, 600)}")).rowcount  # fmt: skip
            column = "name" if table == "items" else "body"
            return db.execute(f"UPDATE {table} SET {column} = ? WHERE {which}", (self.value(),)).rowcount
        return db.execute(f"DELETE FROM {table} WHERE {which}").rowcount

    def one_transaction(self):
        db, r = self.connection, self.random
        db.execute("BEGIN IMMEDIATE")
        changed = sum(max(self.one_change(), 0) for _ in range(r.randint(1, 12)))
        if r.random() < 0.15:
            db.execute("ROLLBACK")
        else:
            db.execute("COMMIT")
            self.changes += changed

    def run(self, changes):
        while self.changes < changes:
            self.one_transaction()
        return self.changes


def contents(path):
    """{table: {key: row}} as the replica of captured.py has it."""
    connection = connect(path)
    result = {}
    for table in TABLES:
        keys = {"orders": ("id",), "items": ("order id", "line"), "notes": ("rowid",)}[table]
        cursor = connection.execute(f"SELECT {'rowid, ' if table == 'notes' else ''}* FROM {table}")
        names = [column[0] for column in cursor.description]
        rows = {}
        for values in cursor:
            row = dict(zip(names, values))
            key = tuple(row[name] for name in keys)
            if table == "notes":
                del row["rowid"]
            rows[key] = row
        result[table] = rows
    connection.close()
    return result


if __name__ == "__main__":
    print(Writer(sys.argv[1], int(sys.argv[2])).run(int(sys.argv[3])), flush=True)
