"""A real PostgreSQL from Debian's package, in a folder of its own, on loopback and not as root: started, killed and asked by
the tests."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from harness import WATCHDOG_S, free_port, wait_until  # noqa: E402

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
NOBODY = 65534


class PostgresServer:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.port = free_port()
        self.process = None
        self._as = []
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            self._as = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            shutil.chown(self.folder, NOBODY, NOBODY)
            for parent in self.folder.parents:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync")

    def _run(self, program, *arguments, **options):
        return subprocess.run([*self._as, PROGRAMS / program, *map(str, arguments)], check=True, capture_output=True, text=True,
                              cwd="/", timeout=5 * WATCHDOG_S, **options)  # fmt: skip

    def start(self):
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self._as, PROGRAMS / "postgres", "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.folder],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")  # fmt: skip
        wait_until(self.answers, f"PostgreSQL on port {self.port}: see {self.folder}", 2 * WATCHDOG_S, 0.05)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at its start:\n{(self.folder / 'server.log').read_text()[-2000:]}")
        return subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode == 0

    def kill(self):
        """kill -9 of the whole server: the postmaster's children end when it is gone."""
        children = self._children()
        self.process.kill()
        self.process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(pathlib.Path(f"/proc/{child}").exists() for child in children), "the server's processes to be gone")

    def _children(self):
        return [int(pid) for pid in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def restart(self):
        self.kill()
        return self.start()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def create_database(self, name):
        self.ask(f"CREATE DATABASE {name}", database="postgres")
        return self.url(name)

    def url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def ask(self, sql, database):
        """The rows as lists of text."""
        answer = subprocess.run(
            [PROGRAMS / "psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.url(database), "-c", sql],
            capture_output=True, text=True, timeout=WATCHDOG_S, check=False)  # fmt: skip
        if answer.returncode != 0:
            raise RuntimeError(f"{sql}: {answer.stderr}")
        return [line.split("\t") for line in answer.stdout.splitlines()]
