"""Writers of a PostgreSQL database, as psql scripts: each makes transactions by a seed, some rolled back; a server that is killed
under them is met by doing the transaction again, if it was not committed."""

import random
import subprocess

from postgres_server import PROGRAMS

SCHEMA = """
CREATE TABLE orders(id bigserial PRIMARY KEY, customer text, amount numeric, payload bytea, weight double precision, paid boolean);
CREATE TABLE items(order_id bigint, line int, name text, price real, PRIMARY KEY(order_id, line));
CREATE TABLE done(writer int, number int, PRIMARY KEY(writer, number));
"""
TABLES = ("orders", "items")


class Writer:
    def __init__(self, server, number, seed):
        self.server = server
        self.number = number
        self.random = random.Random(seed)
        self.transactions = 0
        self.statements = 0

    def value(self):
        r = self.random
        return r.choice(["NULL", f"'{r.randbytes(8).hex()}'", "'naïve £€ \U0001f600'", "'it''s \\ \"quoted\"'", "''", f"'{'x' * r.randint(0, 400)}'"])

    def statement(self):
        r = self.random
        kind = r.random()
        if kind < 0.1:
            rows = f"SELECT id FROM orders ORDER BY id OFFSET {r.randint(0, 300)} LIMIT 20"
            return r.choice([f"UPDATE orders SET amount = amount + 1 WHERE id IN ({rows});", f"DELETE FROM orders WHERE id IN ({rows}) AND id % 3 = 0;",
                             f"INSERT INTO orders(customer, weight) SELECT {self.value()}, n FROM generate_series(1, 20) n;"])  # fmt: skip
        if kind < 0.4:
            return (f"INSERT INTO orders(customer, amount, payload, weight, paid) VALUES({self.value()}, {r.randint(-10**9, 10**9)}.{r.randint(0, 99):02}, "
                    f"'\\x{r.randbytes(r.randint(0, 60)).hex()}', {r.random() * 10 ** r.randint(-30, 30)}, {r.choice(['true', 'false', 'NULL'])});")
        if kind < 0.55:
            return (f"INSERT INTO items VALUES({r.randint(1, 60)}, {r.randint(1, 30)}, {self.value()}, {r.random()}) "
                    "ON CONFLICT (order_id, line) DO UPDATE SET name = excluded.name;")  # fmt: skip
        if kind < 0.85:
            return f"UPDATE orders SET customer = {self.value()}, weight = weight + 1 WHERE id = (SELECT id FROM orders ORDER BY id OFFSET {r.randint(0, 200)} LIMIT 1);"
        if kind < 0.9:
            return f"UPDATE items SET line = line + 1000 WHERE order_id = {r.randint(1, 60)} AND line < 3 AND NOT EXISTS (SELECT 1 FROM items i WHERE i.order_id = items.order_id AND i.line >= 1000);"
        return f"DELETE FROM orders WHERE id = (SELECT id FROM orders ORDER BY id OFFSET {r.randint(0, 100)} LIMIT 1);"

    def script(self, transactions):
        lines = []
        for _ in range(transactions):
            self.transactions += 1
            count = self.random.randint(1, 12)
            body = "\n".join(self.statement() for _ in range(count))
            self.statements += count
            end = "ROLLBACK;" if self.random.random() < 0.1 else f"INSERT INTO done VALUES({self.number}, {self.transactions}); COMMIT;"
            lines.append(f"BEGIN;\n{body}\n{end}")
        return "\n".join(lines)

    def start(self, transactions):
        """One psql that runs so many; a deadlock or a killed server ends some of them, which is as good as a rollback."""
        process = subprocess.Popen([str(PROGRAMS / "psql"), "-X", "-q", self.server.url], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
        process.stdin.write(self.script(transactions))
        process.stdin.close()
        return process
